"""The fleet: who each host is, whom it serves, how large it is and how it behaves.

Every attribute of a host depends on the seed, the attribute's name and the host number alone, so a larger fleet
holds the smaller one unchanged. Telemetry is in `telemetry`; the calendar in `time_dimension`.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.schemas import CAPACITY_COLUMNS, VARIANTS, VARIETIES, Variety, host_id
from capsim_dagster.seeding import low_discrepancy, streams
from capsim_dagster.settings import DataGeneration, Department, Metadata, Weighted
from capsim_dagster.simulation.resources import SIMULATED, Simulated

Choice = TypeVar("Choice", bound=Weighted)


def variety_shares(generation: DataGeneration) -> dict[Variety, float]:
    """Return the share of the fleet of each of the ten varieties; they add up to 1."""
    shares = {}
    for scenario, (common, rare) in VARIANTS.items():
        mix = generation.scenario_mix[scenario]
        shares[Variety(scenario, common)] = mix.share * (1 - mix.rare_share)
        shares[Variety(scenario, rare)] = mix.share * mix.rare_share
    return shares


def variety_indices(numbers: NDArray[np.int64], shares: Sequence[float]) -> NDArray[np.int64]:
    """Return the variety of each host as an index into `VARIETIES`, same shape.

    Hosts 1 to 10 hold one of each; the rest follow the shares by the golden-ratio sequence of their number, so that
    every fleet of any size keeps the shares and growing it changes nobody.

    Args:
        numbers: Host numbers, 1 and up.
        shares: Share of each variety, in the order of `VARIETIES`, adding up to 1.

    >>> variety_indices(np.arange(1, 12), [0.1] * 10).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 7]
    """
    bounds = np.cumsum(np.asarray(shares, dtype=np.float64))
    drawn = np.searchsorted(bounds, low_discrepancy(numbers) * bounds[-1], side="right")
    return np.where(numbers <= len(VARIETIES), numbers - 1, np.minimum(drawn, len(VARIETIES) - 1)).astype(np.int64)


def host_inventory(generation: DataGeneration, *, first: int = 1) -> pl.DataFrame:
    """Return the hosts `first` to `num_servers`, ordered by host number; columns of `schemas.fleet.HOSTS`.

    `first`: first host number, 1 and up: later hosts can be made alone.
    """
    draw = _Attributes(generation, first)
    metadata = generation.metadata
    varieties = [VARIETIES[i] for i in variety_indices(draw.numbers, list(variety_shares(generation).values()))]
    departments = draw.choose("department", metadata.departments)
    server_types = [choice.name for choice in draw.choose("server_type", metadata.server_types)]
    return pl.DataFrame(
        {
            "host_id": [host_id(number) for number in draw.numbers.tolist()],
            "department": [department.name for department in departments],
            "business_unit": [department.business_unit for department in departments],
            "region": [region.name for region in draw.choose("region", metadata.regions)],
            "criticality": [level.name for level in draw.choose("criticality", metadata.criticality_levels)],
            "classification": np.where(draw.uniform("classification") < metadata.virtual_share, "virtual", "physical"),
            "server_type": server_types,
            **{CAPACITY_COLUMNS[resource]: draw.size(how, server_types) for resource, how in SIMULATED.items()},
            "scenario": [variety.scenario.value for variety in varieties],
            "variant": [variety.variant.value for variety in varieties],
        }
    )


def business_hierarchy(generation: DataGeneration, *, first: int = 1) -> pl.DataFrame:
    """Return where each host stands in the organization; columns of `schemas.fleet.BUSINESS_HIERARCHY`.

    `first`: first host number, 1 and up.
    """
    draw = _Attributes(generation, first)
    departments = draw.choose("department", generation.metadata.departments)
    team_draws = draw.uniform("sub_department").tolist()
    app_draws = draw.uniform("application").tolist()
    places = [
        _place(department, team_draw, app_draw, generation.metadata)
        for department, team_draw, app_draw in zip(departments, team_draws, app_draws, strict=True)
    ]
    return pl.DataFrame(
        {
            "host_id": [host_id(number) for number in draw.numbers.tolist()],
            "department": [department.name for department in departments],
            "sub_department": [team for team, _, _ in places],
            "app_code": [code for _, code, _ in places],
            "app_name": [name for _, _, name in places],
        }
    )


def fleet_of(generation: DataGeneration) -> pl.DataFrame:
    """Return the hosts with their application codes, by number: the inventory, made anew from the settings."""
    apps = business_hierarchy(generation).select("host_id", "app_code")
    return host_inventory(generation).join(apps, on="host_id", how="left", maintain_order="left")


class _Attributes:
    """Draws of inventory attributes for a range of hosts, each from the stream of its name."""

    def __init__(self, generation: DataGeneration, first: int) -> None:
        self._seed = generation.random_seed
        self.numbers = np.arange(first, generation.num_servers + 1, dtype=np.int64)

    def uniform(self, name: str) -> NDArray[np.float64]:
        return streams(self._seed, "inventory", name, hosts=self.numbers).uniform()

    def choose(self, name: str, choices: Sequence[Choice]) -> list[Choice]:
        bounds = np.cumsum([choice.weight for choice in choices])
        drawn = np.searchsorted(bounds, self.uniform(name) * bounds[-1], side="right")
        return [choices[i] for i in np.minimum(drawn, len(choices) - 1).tolist()]

    def size(self, how: Simulated, server_types: Sequence[str]) -> list[int]:
        options = [how.sizes.get(server_type, how.other_sizes) for server_type in server_types]
        return [o[int(u * len(o))] for o, u in zip(options, self.uniform(how.size_stream).tolist(), strict=True)]


def _place(department: Department, team_draw: float, app_draw: float, metadata: Metadata) -> tuple[str, str, str]:
    """Return the team, application code and application name that two draws in [0, 1) select."""
    team_index = int(team_draw * len(department.teams))
    team = department.teams[team_index]
    app = int(app_draw * metadata.apps_per_team) + 1
    return team, f"{department.code}-{team_index + 1:02d}-{app:03d}", f"{team} {app:03d}"
