"""Why settings cannot be used, a line a key: the key and the option as it was typed, what was found, what is allowed.

The value of a key that does not exist is never repeated: it may be a secret that landed in the wrong place.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast, get_args

from pydantic import BaseModel, ValidationError

from capsim_dagster.errors import SettingsError, plural
from capsim_dagster.settings.model import ENV_PREFIX, Settings

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


def option_of(name: str, overrides: Overrides | None) -> str:
    """Return the option that set a key, as it is typed; empty = none did."""
    for key, option in OPTIONS.items():
        section, _, field = key.partition(".")
        if (name == key or name.startswith(f"{key}.")) and field in (overrides or {}).get(section, {}):
            return option
    return ""


def explain(error: ValidationError, files: Sequence[object], overrides: Overrides | None) -> SettingsError:
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
