"""Settings of the fleet: who the hosts are, whom they serve, and how that shifts their load."""

from typing import Annotated, Any, Final, Self

from holidays.registry import COUNTRIES, FINANCIAL
from pydantic import Field, create_model, field_validator, model_validator

from capsim_dagster.schemas.resources import RESOURCE_COUNT, Resource
from capsim_dagster.settings.sections import Section, Weighted, require_distinct

_LEAST_PIVOT: Final = 1e-6
"""Smallest pivot of a correlation matrix that still counts as positive definite."""


class LoadShift(Weighted):
    """A choice that shifts the load of the hosts which have it."""

    level_factor: float = Field(default=1.0, gt=0, le=3, description="Multiplies the level.")
    season_factor: float = Field(default=1.0, ge=0, le=3, description="Multiplies the annual season.")
    growth_factor: float = Field(default=1.0, ge=0, le=3, description="Multiplies growth.")


class Region(LoadShift):
    """A data-centre region."""

    bank_calendar: str = Field(
        min_length=2, description="Calendar of the `holidays` package: a country code or a market such as ECB."
    )

    @field_validator("bank_calendar")
    @classmethod
    def _calendar_exists(cls, code: str) -> str:
        known = {name for names in (*COUNTRIES.values(), *FINANCIAL.values()) for name in names[1:]}
        if code not in known:
            raise ValueError(f"found {code!r}; no such calendar in the `holidays` package (e.g. US, GB, SG, ECB)")
        return code


class Department(LoadShift):
    """A department with its teams."""

    code: str = Field(min_length=2, max_length=4, description="Start of its application codes.")
    business_unit: str = Field(min_length=1)
    teams: tuple[str, ...] = Field(min_length=1)
    season_peak_day: int = Field(ge=1, le=366, description="Day of the year on which its annual season peaks.")


_PAIRS: Final = [f"{before}_{resource}" for row, resource in enumerate(Resource) for before in list(Resource)[:row]]
_COEFFICIENTS: Final[dict[str, Any]] = dict.fromkeys(_PAIRS, (Annotated[float, Field(ge=-0.99, le=0.99)], ...))
"""A field a pair of resources: `cpu_memory` and so on."""
_Pairs = create_model("_Pairs", __base__=Section, **_COEFFICIENTS)


class Correlation(_Pairs):
    """How the day-to-day noise of a host's resources goes together: correlation coefficients, one a pair."""

    @property
    def factor(self) -> tuple[tuple[float, ...], ...]:
        """The lower Cholesky factor, a row and a column a resource, in the order of `schemas.Resource`.

        Raises:
            ValueError: If no series can be correlated so.
        """
        resources = tuple(Resource)
        rows: list[tuple[float, ...]] = []
        for row, resource in enumerate(resources):
            found: list[float] = []
            for column, before in enumerate(resources[:row]):
                known = sum(a * b for a, b in zip(found, rows[column], strict=False))
                found.append((getattr(self, f"{before}_{resource}") - known) / rows[column][column])
            pivot = 1 - sum(value * value for value in found)
            if pivot < _LEAST_PIVOT:
                raise ValueError(
                    f"these correlations contradict each other: no {RESOURCE_COUNT} series can be correlated so"
                )
            rows.append((*found, pivot**0.5))
        return tuple((*row, *[0.0] * (len(resources) - len(row))) for row in rows)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        assert self.factor  # noqa: S101 computed for its error
        return self


class ServerType(Weighted):
    """A workload profile."""

    weekend_response: float = Field(
        ge=-2, le=2, description="Part of a metric's weekly pattern it follows; below 0 = busier at weekends."
    )
    correlation: Correlation


class Metadata(Section):
    """What the inventory says about a host, how often, and how it shifts the load."""

    departments: tuple[Department, ...] = Field(min_length=1)
    regions: tuple[Region, ...] = Field(min_length=1)
    criticality_levels: tuple[LoadShift, ...] = Field(min_length=1)
    server_types: tuple[ServerType, ...] = Field(min_length=1)
    virtual_share: float = Field(ge=0, le=1, description="Share of virtual machines.")
    apps_per_team: int = Field(ge=1, le=999, description="Applications of each team.")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for field in ("departments", "regions", "criticality_levels", "server_types"):
            require_distinct(field, "name", [choice.name for choice in getattr(self, field)])
        require_distinct("departments", "code", [department.code for department in self.departments])
        return self
