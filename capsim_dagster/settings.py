"""All settings: frozen models read from `config/config.yaml`, the environment and the command line.

Precedence, strongest first: command line, environment (`CAPSIM__DATA_GENERATION__NUM_SERVERS=50`), the YAML file,
the defaults below. Unknown keys, values out of range and contradictions are errors that name the key, what was found
and what is allowed; nothing is written before they are settled. No global instance: settings are passed as arguments.
"""

import datetime as dt
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from capsim_dagster.errors import SettingsError
from capsim_dagster.schemas import VARIETIES, Resource, Scenario

ENV_PREFIX: Final = "CAPSIM__"
"""Start of every environment variable that overrides a setting."""
CONFIG_ENV: Final = "CAPSIM_CONFIG"
"""Environment variable with the path of the settings file."""
DEFAULT_CONFIG: Final = Path("config/config.yaml")
"""The settings file, sought in the current folder and then in the checkout."""
SHARE_TOLERANCE: Final = 1e-9
"""How far from 1 a sum of shares may lie: the rounding of a few decimals, no more."""
_DEFAULT_BASE_PATH: Final = {
    "local": "data",
    "sagemaker": "/opt/ml/processing/output",
    "lambda": "/tmp/capsim",  # noqa: S108 the one folder that AWS Lambda lets a function write
}


class Section(BaseModel):
    """A frozen part of the settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class General(Section):
    """Where capsim runs."""

    env: Literal["local", "sagemaker", "lambda"] = Field(
        default="local", description="Selects the default of storage.local_base_path."
    )


class ScenarioShare(Section):
    """How common a scenario is."""

    share: float = Field(ge=0, le=1, description="Share of the fleet.")
    rare_share: float = Field(default=0.2, ge=0, le=1, description="Share of its rare variant within the scenario.")


class Metric(Section):
    """How one resource differs from the scenario's typical series."""

    level_factor: float = Field(gt=0, le=2, description="Multiplies level, drift and season.")
    noise_factor: float = Field(ge=0, le=5, description="Multiplies the day-to-day noise.")
    min_clip: float = Field(default=0.0, ge=0, le=100, description="Lowest value [%].")
    max_clip: float = Field(default=100.0, ge=0, le=100, description="Highest value [%].")

    @model_validator(mode="after")
    def _clip_is_ordered(self) -> Self:
        if self.min_clip >= self.max_clip:
            raise ValueError(f"min_clip {self.min_clip} must be below max_clip {self.max_clip}")
        return self


class Weighted(Section):
    """A named choice and how often it is drawn."""

    name: str = Field(min_length=1)
    weight: float = Field(gt=0, description="Relative weight; the weights of a list need not add up to 1.")


class Region(Weighted):
    """A data-centre region."""

    bank_calendar: str = Field(
        min_length=2, description="Calendar of the `holidays` package: a country code or a market such as ECB."
    )


class Department(Weighted):
    """A department with its teams."""

    code: str = Field(min_length=2, max_length=4, description="Start of its application codes.")
    business_unit: str = Field(min_length=1)
    teams: tuple[str, ...] = Field(min_length=1)


class Metadata(Section):
    """What the inventory says about a host, and how often."""

    departments: tuple[Department, ...] = Field(min_length=1)
    regions: tuple[Region, ...] = Field(min_length=1)
    criticality_levels: tuple[Weighted, ...] = Field(min_length=1)
    server_types: tuple[Weighted, ...] = Field(min_length=1)
    virtual_share: float = Field(ge=0, le=1, description="Share of virtual machines.")
    apps_per_team: int = Field(ge=1, le=999, description="Applications of each team.")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for field in ("departments", "regions", "criticality_levels", "server_types"):
            names = [choice.name for choice in getattr(self, field)]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{field} names {', '.join(twice)} twice; each name once")
        return self


class DataGeneration(Section):
    """The fleet and its window. Everything here but `end_date` decides values, so it is part of the settings hash."""

    num_servers: int = Field(ge=len(VARIETIES), description="Hosts; at least one of each of the ten varieties.")
    start_date: dt.date = Field(ge=dt.date(1971, 1, 1), le=dt.date(2199, 12, 31), description="First day.")
    end_date: dt.date = Field(le=dt.date(2199, 12, 31), description="Last day, inclusive.")
    random_seed: int = Field(ge=0, lt=2**63)
    scenario_horizon_days: int = Field(ge=30, le=36_525, description="Breach dates fall within so many days.")
    breach_threshold: float = Field(gt=50, le=100, description="Utilization that counts as a breach [%].")
    scenario_mix: dict[Scenario, ScenarioShare]
    metrics: dict[Resource, Metric]
    metadata: Metadata

    @field_validator("scenario_mix", mode="before")
    @classmethod
    def _scenarios_in_any_case(cls, value: object) -> object:
        """Accept `burst` for `BURST`: environment variables reach pydantic-settings in lower case, and win."""
        if not isinstance(value, Mapping):
            return value
        merged: dict[str, Any] = {}
        for name in sorted(value, key=lambda name: not str(name).isupper()):
            shares = value[name]
            known = merged.get(str(name).upper(), {})
            merged[str(name).upper()] = {**known, **shares} if isinstance(shares, Mapping) else shares
        return merged

    @model_validator(mode="after")
    def _window_is_ordered(self) -> Self:
        if self.end_date < self.start_date:
            raise ValueError(f"end_date {self.end_date} must not be before start_date {self.start_date}")
        return self

    @model_validator(mode="after")
    def _mix_is_whole(self) -> Self:
        _require_all(self.scenario_mix, Scenario, "scenario_mix")
        _require_all(self.metrics, Resource, "metrics")
        low = [
            f"{name} {metric.max_clip:g}"
            for name, metric in self.metrics.items()
            if metric.max_clip < self.breach_threshold
        ]
        if low:
            threshold = f"breach_threshold {self.breach_threshold:g}"
            raise ValueError(f"max_clip of {', '.join(low)} is below {threshold}: nothing could breach")
        total = math.fsum(scenario.share for scenario in self.scenario_mix.values())
        if abs(total - 1) > SHARE_TOLERANCE:
            raise ValueError(f"the shares in scenario_mix add up to {total:.6g}; they must add up to 1")
        return self


class Storage(Section):
    """Where outputs go."""

    local_base_path: Path | None = Field(default=None, description="Data directory; null = by general.env.")
    lock_timeout_seconds: float = Field(default=60, ge=0, le=3600, description="How long to wait for the warehouse.")


class FeedColumns(Section):
    """File name and column labels of one resource in the legacy feed."""

    file_prefix: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    value_column: str = Field(pattern=r"^[A-Za-z0-9_]+$")
    capacity_column: str = Field(pattern=r"^[A-Za-z0-9_]+$")


class LegacyFeed(Section):
    """The legacy CSV contract."""

    resources: dict[Resource, FeedColumns]

    @model_validator(mode="after")
    def _files_are_distinct(self) -> Self:
        _require_all(self.resources, Resource, "resources")
        prefixes = [columns.file_prefix for columns in self.resources.values()]
        if len(set(prefixes)) < len(prefixes):
            raise ValueError(f"file_prefix must differ between resources; found {', '.join(prefixes)}")
        return self


class Automation(Section):
    """The monthly schedule."""

    monthly_cron: str = Field(description="When the monthly schedule ticks, in UTC.")
    max_months_per_tick: int = Field(ge=1, le=120, description="Missing months that one tick asks for at most.")


class Settings(BaseSettings):
    """The whole of the settings."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    general: General = General()
    data_generation: DataGeneration
    storage: Storage = Storage()
    legacy_feed: LegacyFeed
    automation: Automation

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 pydantic-settings calls by keyword
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: command line, environment, YAML file."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)

    @property
    def data_dir(self) -> Path:
        """Data directory: the one configured, else the usual one of `general.env`."""
        return self.storage.local_base_path or Path(_DEFAULT_BASE_PATH[self.general.env])


def load_settings(config: Path | None = None, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
    """Read the settings.

    Args:
        config: The YAML file; without it `CAPSIM_CONFIG`, then `config/config.yaml` here or in the checkout.
        overrides: Strongest values, by section and key.

    Raises:
        SettingsError: If the file is missing or not YAML, or any setting is unknown, contradictory or out of range.
    """
    path = find_config(config)
    _refuse_unknown_environment(os.environ)
    _read_yaml(path)

    class FileSettings(Settings):
        model_config = SettingsConfigDict(yaml_file=path, yaml_file_encoding="utf-8")

    strongest: dict[str, Any] = {section: dict(values) for section, values in (overrides or {}).items() if values}
    try:
        loaded = FileSettings(**strongest)
    except ValidationError as error:
        raise _explain(error, path) from None
    return Settings.model_construct(**{name: getattr(loaded, name) for name in Settings.model_fields})


def settings_hash(generation: DataGeneration, *version: str) -> str:
    """Return 16 hex digits over every setting that decides a value: all of `data_generation` but the window's end.

    Args:
        generation: The settings.
        version: Further facts that decide values, such as the version of the simulation model.
    """
    facts = generation.model_dump(mode="json", exclude={"end_date"})
    canonical = json.dumps([facts, *version], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _require_all(found: Mapping[Any, object], kind: type[Scenario] | type[Resource], name: str) -> None:
    missing = [member.value for member in kind if member not in found]
    if missing:
        raise ValueError(f"{name} lacks {', '.join(missing)}; it needs {', '.join(member.value for member in kind)}")


def find_config(config: Path | None) -> Path:
    """Return the settings file: the one named, else `CAPSIM_CONFIG`, else the shipped one here or in the checkout.

    Raises:
        SettingsError: If there is none.
    """
    named = config or (Path(os.environ[CONFIG_ENV]) if os.environ.get(CONFIG_ENV) else None)
    candidates = [named] if named else [DEFAULT_CONFIG, Path(__file__).parents[1] / DEFAULT_CONFIG]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise SettingsError(
        f"settings file {candidates[0]} not found",
        remedy="name one with --config or CAPSIM_CONFIG, or run from the checkout, which holds config/config.yaml",
    )


def _read_yaml(path: Path) -> None:
    """Raise a clear error for a file that is no YAML mapping; pydantic-settings shows a traceback."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not YAML: {error}", remedy="mend the line that is named") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path} holds no sections", remedy="start from the shipped config/config.yaml")


def _refuse_unknown_environment(environment: Mapping[str, str]) -> None:
    """Raise for `CAPSIM__SECTION__…` with a section that does not exist: pydantic-settings would ignore it."""
    known = {f"{ENV_PREFIX}{name}".upper() for name in Settings.model_fields}
    unknown = [
        name
        for name in sorted(environment)
        if name.upper().startswith(ENV_PREFIX)
        and not any(name.upper() == k or name.upper().startswith(k + "__") for k in known)
    ]
    if unknown:
        raise SettingsError(
            f"unknown setting in the environment: {', '.join(unknown)}",
            remedy=f"sections are {', '.join(Settings.model_fields)}; e.g. {ENV_PREFIX}DATA_GENERATION__NUM_SERVERS",
        )


def _explain(error: ValidationError, path: Path) -> SettingsError:
    """Turn pydantic's report into one line a key: the key, what was found, what is allowed."""
    lines = [_explain_one(cast("Mapping[str, Any]", problem)) for problem in error.errors()]
    source = f"{path}, {ENV_PREFIX}… variables and command-line options"
    return SettingsError(
        f"{len(lines)} setting{'s' if len(lines) > 1 else ''} cannot be used:\n  " + "\n  ".join(lines),
        remedy=f"settings come from {source}; every key is explained in config/config.yaml",
    )


def _explain_one(problem: Mapping[str, Any]) -> str:
    location = cast("Sequence[object]", problem["loc"])
    name = ".".join(str(part) for part in location if part != "[key]")
    if problem["type"] == "extra_forbidden":
        return f"{name}: found {problem['input']!r}, but no such setting exists; allowed: {_allowed_keys(location)}"
    if problem["type"] == "missing":
        return f"{name}: not found; it is required"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{name}: {message}"
    return f"{name}: found {problem['input']!r}; {message[0].lower()}{message[1:]}"


def _allowed_keys(location: Sequence[object]) -> str:
    """Return the keys that exist beside an unknown one."""
    model: type[BaseModel] | None = Settings
    for part in location[:-1]:
        field = model.model_fields.get(str(part)) if model else None
        annotation = field.annotation if field else None
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return ", ".join(model.model_fields) if model else "see config/config.yaml"
