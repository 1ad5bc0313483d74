"""Reading the settings: precedence, the settings file with those that it is based on, and why they cannot be used.

Precedence, strongest first: command line, environment (`CAPSIM__DATA_GENERATION__NUM_SERVERS=50`), the YAML file, the
defaults of the models. What a data directory records comes between environment and file: see `directory`.

A wrong setting is told in a line: the key and the option as it was typed, what was found, what is allowed. The value of
a key that does not exist is never repeated: it may be a secret that landed in the wrong place.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast, get_args

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource
from pydantic_settings.exceptions import SettingsError as SourceError

from capsim_dagster.errors import SettingsError, plural
from capsim_dagster.settings.model import ENV_PREFIX, Settings
from capsim_dagster.settings.yaml_file import read_yaml

CONFIG_ENV: Final = "CAPSIM_CONFIG"
"""Environment variable with the path of the settings file."""
DEFAULT_CONFIG_ENV: Final = "CAPSIM_DEFAULT_CONFIG"
"""The same of the file that holds where none is named: for processes that are started in another folder."""
_BASE: Final = "base"
"""Key of a settings file: another one, whose settings hold where this one says nothing."""
DEFAULT_CONFIG: Final = Path("config/config.yaml")
"""The settings file, sought in the current folder and then where capsim brings it along."""
_OWN_SECTION: Final = re.compile(rb"^(data_generation|base)\s*:", re.MULTILINE)
"""A line by which a config/config.yaml is known as capsim's: other projects have such files too."""
_LOOK_BYTES: Final = 1 << 20

Overrides = Mapping[str, Mapping[str, Any]]
"""What the options of a command set, by section and key."""

OPTIONS: Final = {
    "data_generation.num_servers": "--hosts",
    "data_generation.start_date": "--start",
    "data_generation.end_date": "--end",
    "general.env": "--env",
    "storage.local_base_path": "--data-dir",
    "refinery.feed_dir": "--feed",
    "refinery.inventory": "--inventory",
    "refinery.max_rejected_share": "--max-rejected-share",
    "refinery.allow_partial": "--allow-partial",
    "legacy_feed.defects": "--dirty",
}
"""The options that set a key, by the key."""
_LONGEST_VALUE: Final = 80

Contents = Mapping[Path, Mapping[str, Any]]
"""Sections by the file that they stand in, strongest first."""


def load_settings(config: Path | None = None, overrides: Overrides | None = None) -> Settings:
    """Read the settings, whatever a data directory records.

    Args:
        config: The YAML file; without it `CAPSIM_CONFIG`, then `config/config.yaml` here or as shipped.
        overrides: Strongest values, by section and key.

    Raises:
        SettingsError: If the file is missing or not YAML, or any setting is unknown, contradictory or out of range.
    """
    return build_settings(read_files(find_config(config)), overrides)


def build_settings(contents: Contents, overrides: Overrides | None, *, with_environment: bool = True) -> Settings:
    """Return the settings of some files, with environment and overrides on top.

    Raises:
        SettingsError: If any setting is unknown, contradictory or out of range.
    """
    _refuse_unknown_environment(os.environ)

    class FileSettings(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 pydantic-settings calls by keyword
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            files = [InitSettingsSource(settings_cls, init_kwargs=dict(content)) for content in contents.values()]
            return (init_settings, *([env_settings] if with_environment else []), *files)

    strongest: dict[str, Any] = {section: dict(values) for section, values in (overrides or {}).items() if values}
    try:
        loaded = FileSettings(**strongest)
    except ValidationError as error:
        raise _explained(error, list(contents), overrides) from None
    except SourceError as error:
        raise SettingsError(
            f"an environment variable cannot be read: {error}",
            remedy=f"a whole section or list is JSON; a single key is {ENV_PREFIX}DATA_GENERATION__NUM_SERVERS=50",
        ) from None
    return Settings.model_construct(**{name: getattr(loaded, name) for name in Settings.model_fields})


def named_config(config: Path | None) -> Path | None:
    """Return the settings file that was named, by option or `CAPSIM_CONFIG`; None = the usual one holds."""
    return config or (Path(os.environ[CONFIG_ENV]) if os.environ.get(CONFIG_ENV) else None)


def find_config(config: Path | None) -> Path:
    """Return the settings file: the one named, `CAPSIM_CONFIG`, the one in the current folder, or that shipped.

    Raises:
        SettingsError: If there is none.
    """
    named = named_config(config)
    if named is not None and named.exists():
        return named
    default = os.environ.get(DEFAULT_CONFIG_ENV)
    usual = [Path(default)] if default else []
    usual += [DEFAULT_CONFIG] if _is_own(DEFAULT_CONFIG) else []
    usual.append(shipped(DEFAULT_CONFIG))
    found = next((path for path in usual if named is None and path.is_file()), None)
    if found is not None:
        return found
    raise SettingsError(
        f"settings file {named or DEFAULT_CONFIG} not found",
        remedy="name one with --config or CAPSIM_CONFIG, or install capsim anew: it brings config/config.yaml along",
    )


def _is_own(path: Path) -> bool:
    """Return whether a file is settings of capsim, and not of another project that has the same folder."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return _OWN_SECTION.search(stream.read(_LOOK_BYTES)) is not None


def shipped(file: Path) -> Path:
    """Return where a file that is named from the top of a checkout lies: in the package, or in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "config" / file.name
    return installed if installed.is_file() else package.parent / file


def read_files(path: Path) -> dict[Path, dict[str, Any]]:
    """Return the sections of a settings file and of the files it is based on, strongest first.

    Raises:
        SettingsError: If one is missing or no YAML, or they are based on each other.
    """
    contents: dict[Path, dict[str, Any]] = {}
    by = ""
    path = path.absolute()
    while True:
        if path in contents or (by and not path.is_file()):
            problem = "is based on itself" if path in contents else "not found"
            raise SettingsError(
                f"settings file {path} {problem}{by}",
                remedy=f"{_BASE}: names a settings file, as seen from the one that it stands in",
            )
        contents[path] = read_yaml(path, remedy="start from the shipped config/config.yaml")
        base = contents[path].pop(_BASE, None)
        if base is None:
            return contents
        by = f", named as base of {path}"
        path = (path.parent / str(base)).resolve()


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


def option_of(name: str, overrides: Overrides | None) -> str:
    """Return the option that set a key, as it is typed; empty = none did."""
    for key, option in OPTIONS.items():
        section, _, field = key.partition(".")
        if (name == key or name.startswith(f"{key}.")) and field in (overrides or {}).get(section, {}):
            return option
    return ""


def _explained(error: ValidationError, files: Sequence[object], overrides: Overrides | None) -> SettingsError:
    """Turn pydantic's report into one line a key."""
    lines = [_explain_one(cast("Mapping[str, Any]", problem), overrides) for problem in error.errors()]
    source = f"{', its base '.join(map(str, files))}, {ENV_PREFIX}… variables and command-line options"
    return SettingsError(
        f"{plural(len(lines), 'setting')} cannot be used:\n  " + "\n  ".join(lines),
        remedy=f"settings come from {source}; every key is explained in config/config.yaml",
    )


def _explain_one(problem: Mapping[str, Any], overrides: Overrides | None) -> str:
    location = cast("Sequence[object]", problem["loc"])
    name = ".".join(str(part) for part in location if part != "[key]")
    said = _said(problem, location)
    typed = [option_of(name, overrides)] if option_of(name, overrides) else _options_in(name, said, overrides)
    return f"{name}: {said}" + (f" (given by {', '.join(typed)})" if typed else "")


def _said(problem: Mapping[str, Any], location: Sequence[object]) -> str:
    """Return what is wrong with a key, without its name."""
    if problem["type"] == "extra_forbidden":
        return f"no such setting exists; allowed: {_allowed_keys(location)}"
    if problem["type"] == "missing":
        return "not found; it is required"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return message
    found = _shown(problem["input"]) if len(location) > 1 else "no section"
    return f"found {found}; {message[0].lower()}{message[1:]}"


def _options_in(section: str, said: str, overrides: Overrides | None) -> list[str]:
    """Return the options that were given for keys which a message about a whole section names."""
    inside = {key: option for key, option in OPTIONS.items() if key.startswith(f"{section}.")}
    return [option for key, option in inside.items() if key.rpartition(".")[2] in said and option_of(key, overrides)]


def _shown(value: object) -> str:
    """Return what was found, in short; never of a mapping, whose unknown keys may hold anything."""
    if value and isinstance(value, Mapping):
        return "a mapping"
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _allowed_keys(location: Sequence[object]) -> str:
    """Return the keys that exist beside an unknown one."""
    model: type[BaseModel] | None = Settings
    for part in location[:-1]:
        field = model.model_fields.get(str(part)) if model else None
        inner = get_args(field.annotation) or (field.annotation,) if field else ()
        found = [kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel)]
        # The next part of a mapping or list is its key or index, which has no field of its own.
        model = found[0] if found else model if field is None else None
    return ", ".join(model.model_fields) if model else "see config/config.yaml"
