"""Reading the settings: precedence, the settings file, and errors that name the key.

Precedence, strongest first: command line, environment (`CAPSIM__DATA_GENERATION__NUM_SERVERS=50`), the YAML file, the
defaults of the models.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource
from pydantic_settings.exceptions import SettingsError as SourceError

from capsim_dagster.errors import SettingsError, plural
from capsim_dagster.settings.model import ENV_PREFIX, Settings

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    # PyYAML built without libyaml: a tenth of the speed, which is 50 ms a command.
    from yaml import SafeLoader  # type: ignore[assignment]

CONFIG_ENV: Final = "CAPSIM_CONFIG"
"""Environment variable with the path of the settings file."""
_BASE: Final = "base"
"""Key of a settings file: another one, whose settings hold where this one says nothing."""
DEFAULT_CONFIG: Final = Path("config/config.yaml")
"""The settings file, sought in the current folder and then in the checkout."""


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
    contents = _read_files(path)

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
            files = [InitSettingsSource(settings_cls, init_kwargs=content) for content in contents.values()]
            return init_settings, env_settings, *files

    strongest: dict[str, Any] = {section: dict(values) for section, values in (overrides or {}).items() if values}
    try:
        loaded = FileSettings(**strongest)
    except ValidationError as error:
        raise _explain(error, list(contents)) from None
    except SourceError as error:
        raise SettingsError(
            f"an environment variable cannot be read: {error}",
            remedy=f"a whole section or list is JSON; a single key is {ENV_PREFIX}DATA_GENERATION__NUM_SERVERS=50",
        ) from None
    return Settings.model_construct(**{name: getattr(loaded, name) for name in Settings.model_fields})


def find_config(config: Path | None) -> Path:
    """Return the settings file: the one named, else `CAPSIM_CONFIG`, else the shipped one here or in the checkout.

    Raises:
        SettingsError: If there is none.
    """
    named = config or (Path(os.environ[CONFIG_ENV]) if os.environ.get(CONFIG_ENV) else None)
    candidates = [named] if named else [DEFAULT_CONFIG, Path(__file__).parents[2] / DEFAULT_CONFIG]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise SettingsError(
        f"settings file {candidates[0]} not found",
        remedy="name one with --config or CAPSIM_CONFIG, or run from the checkout, which holds config/config.yaml",
    )


class _StrictLoader(SafeLoader):
    """Refuses a key that stands twice in a mapping; YAML itself would keep the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.MarkedYAMLError(problem=f"the key '{twice[0]}' stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _read_files(path: Path) -> dict[Path, dict[str, Any]]:
    """Return the sections of a settings file and of the files it is based on, strongest first.

    Raises:
        SettingsError: If one is missing or no YAML, or they are based on each other.
    """
    contents: dict[Path, dict[str, Any]] = {}
    by = ""
    path = path.absolute()
    while True:
        if path in contents or not path.is_file():
            problem = "is based on itself" if path in contents else "not found"
            raise SettingsError(
                f"settings file {path} {problem}{by}",
                remedy=f"{_BASE}: names a settings file, as seen from the one that it stands in",
            )
        contents[path] = _read_yaml(path)
        base = contents[path].pop(_BASE, None)
        if base is None:
            return contents
        by = f", named as base of {path}"
        path = (path.parent / str(base)).resolve()


def _read_yaml(path: Path) -> dict[str, Any]:
    """Return the sections of the settings file; an empty section has its defaults.

    Raises:
        SettingsError: If it is no YAML mapping, or a key stands twice.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not YAML: {error}", remedy="mend the line that is named") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path} holds no sections", remedy="start from the shipped config/config.yaml")
    return {section: values for section, values in content.items() if values is not None}


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


def _explain(error: ValidationError, files: Sequence[Path]) -> SettingsError:
    """Turn pydantic's report into one line a key: the key, what was found, what is allowed."""
    lines = [_explain_one(cast("Mapping[str, Any]", problem)) for problem in error.errors()]
    source = f"{', its base '.join(map(str, files))}, {ENV_PREFIX}… variables and command-line options"
    return SettingsError(
        f"{plural(len(lines), 'setting')} cannot be used:\n  " + "\n  ".join(lines),
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
        inner = get_args(field.annotation) or (field.annotation,) if field else ()
        found = [kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel)]
        # The next part of a mapping or list is its key or index, which has no field of its own.
        model = found[0] if found else model if field is None else None
    return ", ".join(model.model_fields) if model else "see config/config.yaml"
