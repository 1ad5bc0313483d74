"""A data directory knows its settings: what is recorded in it, and the settings that hold there.

Precedence, strongest first: options, environment, the file that was named, the record, the shipped file. A file speaks
where it says something else than the file of the record did: then it was edited, or is another one. Settings either
decide what lies in the directory, and may not differ from the record, or are about how it is worked on, and act at
once.

Pure but for reading; the record is written in `pipeline.directory`.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from capsim_dagster.errors import SettingsError, listed
from capsim_dagster.settings.load import (
    Contents,
    Overrides,
    build_settings,
    find_config,
    named_config,
    option_of,
    read_files,
)
from capsim_dagster.settings.model import ENV_PREFIX, Settings
from capsim_dagster.settings.yaml_file import read_yaml

RECORD_NAME: Final = "capsim_settings.yaml"
"""The record, in the data directory; not `settings.yaml`, as people call files of their own."""
FORMAT: Final = 1
"""Of the record; a newer one is not read."""
END_DATE: Final = ("data_generation", "end_date")
_FEED_DIR: Final = ("refinery", "feed_dir")
_INVENTORY: Final = ("refinery", "inventory")
_ABSENT: Final = "(not set)"
_SHOWN: Final = 5
_LONGEST: Final = 80
_LOST: Final = "remove it, and give the settings and options that the directory was made with to the next command"

Key = tuple[str, ...]
"""Where a setting stands: section, key and so on."""
Leaves = Mapping[Key, Any]
"""Settings by key, as JSON has them."""


class Kind(StrEnum):
    """Whose data lie in a directory."""

    SIMULATED = "simulated"
    FEED = "feed"
    PANEL = "panel"


_READING: Final = (
    _FEED_DIR,
    _INVENTORY,
    ("refinery", "resources"),
    ("refinery", "conflicting_duplicates"),
    ("refinery", "unterminated_last_line"),
)
"""What decides which lines of a feed are loaded, and how."""
DECIDING: Final[Mapping[Kind, tuple[Key, ...]]] = {
    Kind.SIMULATED: (
        ("data_generation",),
        ("legacy_feed",),
        ("archive",),
        *(("panel", name) for name in ("server_prefix", "server_digits", "metrics", "flags", "inbound_share")),
        *_READING,
    ),
    Kind.FEED: (("legacy_feed",), *_READING),
    Kind.PANEL: (),
}
"""The settings that decide what lies in a directory; all others act at once."""


_REMEDY: Final = "leave them out: what the directory records is the default; or name another --data-dir"
_OR_ANEW: Final = {
    Kind.SIMULATED: "; or replace what is there: capsim run --replace",
    Kind.FEED: "; or read the feed by them: capsim refine",
    Kind.PANEL: "",
}


@dataclass(frozen=True)
class Record:
    """What a data directory says of the settings that made it.

    Attributes:
        config: The settings file that was named; None = the shipped one.
        settings: The settings that hold in it.
        of_file: Those of the file alone, without options and environment.
    """

    kind: Kind
    config: str | None
    settings: Leaves
    of_file: Leaves


@dataclass(frozen=True)
class Difference:
    """A setting that decides what lies in a directory, and is another than the recorded one."""

    key: Key
    recorded: object
    given: object

    @property
    def is_later_end(self) -> bool:
        """Whether it only makes the window longer, which changes nothing that is there."""
        return self.key == END_DATE and str(self.given) > str(self.recorded)


@dataclass(frozen=True)
class Chosen:
    """The settings that hold for a command in a data directory.

    Attributes:
        config: The settings file that was named; None = the shipped one.
        of_file: The settings of the file alone.
        record: What the directory records; None = nothing.
        differences: Deciding settings that are not as recorded.
        edited: Deciding settings that the shipped file has changed since, and that do not hold for that.
        overrides: What the options of the command set.
    """

    settings: Settings
    config: Path | None
    of_file: Leaves
    record: Record | None
    differences: tuple[Difference, ...] = ()
    edited: tuple[Difference, ...] = ()
    overrides: Overrides | None = None

    @property
    def note(self) -> str:
        """What a person should know who has edited the shipped file; empty = nothing."""
        if not self.edited:
            return ""
        names = listed(".".join(difference.key) for difference in self.edited)
        return (
            f"{self.settings.data_dir} keeps the settings that made it; config/config.yaml now says otherwise: {names}"
        )

    def told(self, differences: Iterable[Difference]) -> str:
        """Return differences as lines: the key, the option as typed, the recorded value and the given one."""
        lines = [
            f"{'.'.join(each.key)}: recorded {_short(each.recorded)}, given {_short(each.given)}"
            + self._source(each.key)
            for each in differences
        ]
        more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        return "\n  ".join([*lines[:_SHOWN], *more])

    def _source(self, key: Key) -> str:
        """Return the option or variable that gave a setting, as it is typed; empty = a file did."""
        option, variable = option_of(".".join(key), self.overrides), ENV_PREFIX + "__".join(key).upper()
        typed = option or (variable if variable in os.environ else "")
        return f" ({typed})" if typed else ""


def directory_settings(
    config: Path | None = None, overrides: Overrides | None = None, *, may_change: Iterable[str] = ()
) -> Chosen:
    """Return the settings that hold in a data directory for a command that works on what is there.

    `may_change`: sections that the command may decide anew.

    Raises:
        SettingsError: If a setting cannot be used, or one that decides what is there is not as recorded.
    """
    chosen = choose_settings(config, overrides)
    sections = {*may_change}
    refused = [each for each in chosen.differences if each.key[0] not in sections]
    if refused and chosen.record is not None:
        raise SettingsError(
            f"{chosen.settings.data_dir} was made with other settings:\n  {chosen.told(refused)}",
            remedy=_REMEDY + _OR_ANEW[chosen.record.kind],
        )
    return chosen


def choose_settings(
    config: Path | None = None, overrides: Overrides | None = None, *, adopts_edits: bool = False
) -> Chosen:
    """Return the settings that a command was given for a data directory, and how they differ from its record.

    `adopts_edits`: whether edits of the shipped file that decide what is there hold, as those of a named one do.

    Raises:
        SettingsError: If a setting cannot be used, or the record cannot be read.
    """
    file, contents = named_config(config), read_files(find_config(config))
    asked = build_settings(contents, overrides)
    of_file = leaves_of(_alone(contents, asked), as_written=True)
    record = read_record(asked.data_dir)
    if record is None:
        return Chosen(asked, file, of_file, None, overrides=overrides)
    changed = _changed_since(record, of_file, is_named=file is not None)
    deciding = {key: value for key, value in changed.items() if decides(key, record.kind)}
    holds = changed if file is not None or adopts_edits else {k: v for k, v in changed.items() if k not in deciding}
    base = _nested({key: value for key, value in {**record.settings, **holds}.items() if value is not _ABSENT})
    # Where this runs is no matter of the directory: it was found by that.
    base["general"] = asked.general.model_dump(mode="json")
    base.setdefault("storage", {})["local_base_path"] = asked.storage.local_base_path
    settings = build_settings({asked.data_dir / RECORD_NAME: base}, overrides)
    edited = deciding if holds is not changed else {}
    return Chosen(
        settings=settings,
        config=file,
        of_file=of_file,
        record=record,
        differences=tuple(_differences(record, leaves_of(settings))),
        edited=tuple(Difference(key, record.settings.get(key, _ABSENT), value) for key, value in edited.items()),
        overrides=overrides,
    )


def chosen_alone(settings: Settings) -> Chosen:
    """Return settings that no command chose as one would have, by the environment and the usual file."""
    contents = read_files(find_config(None))
    return Chosen(settings, named_config(None), leaves_of(_alone(contents, settings), as_written=True), None)


def record_of(chosen: Chosen, kind: Kind) -> Record:
    """Return what a directory is to record of a command's settings."""
    settings, before = leaves_of(chosen.settings), chosen.record
    if before is not None and chosen.config is None and (before.config is not None or chosen.edited):
        return Record(kind, before.config, settings, before.of_file)
    return Record(kind, None if chosen.config is None else str(chosen.config.absolute()), settings, chosen.of_file)


def record_content(record: Record) -> dict[str, Any]:
    """Return a record as its file holds it: what options and environment gave stands apart, to be seen at once."""
    keys = sorted({*record.settings, *record.of_file})
    given = [key for key in keys if record.settings.get(key, _ABSENT) != record.of_file.get(key, _ABSENT)]
    return {
        "format": FORMAT,
        "kind": record.kind.value,
        "config": record.config,
        "given": [
            {"key": list(key), **({"of_file": record.of_file[key]} if key in record.of_file else {})} for key in given
        ],
        "settings": _nested(record.settings),
    }


def read_record(data_dir: Path) -> Record | None:
    """Return what a data directory records; None = nothing, as it is new or was made by an older capsim.

    Raises:
        SettingsError: If the record is damaged, or of a newer capsim.
    """
    path = data_dir / RECORD_NAME
    try:
        content = read_yaml(path, remedy=_LOST) if os.path.lexists(path) else None
    except OSError:
        return None
    if content is None:
        return None
    if isinstance(content.get("format"), int) and content["format"] > FORMAT:
        raise SettingsError(
            f"{path} is of format {content['format']}; this capsim knows {FORMAT}",
            remedy="use the capsim that made the directory, or a newer one",
        )
    try:
        settings = _flat(content["settings"])
        given = {tuple(map(str, each["key"])): each.get("of_file", _ABSENT) for each in content.get("given", [])}
        of_file = {key: value for key, value in {**settings, **given}.items() if value is not _ABSENT}
        return Record(Kind(content["kind"]), content.get("config"), settings, of_file)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SettingsError(f"{path} is damaged: {error!r}", remedy=_LOST) from None


def leaves_of(settings: Settings, *, as_written: bool = False) -> dict[Key, Any]:
    """Return the settings by key, without where this runs; paths are absolute but for those as they are written."""
    content = settings.model_dump(mode="json", exclude={"general": True, "storage": {"local_base_path"}})
    leaves = _flat(content)
    for key in (_FEED_DIR, _INVENTORY):
        path = leaves[key]
        if path is not None and not as_written and not path.startswith("s3:"):
            leaves[key] = str(Path(path).absolute())
    return leaves


def decides(key: Key, kind: Kind) -> bool:
    """Return whether a setting decides what lies in a directory of some kind."""
    return any(key[: len(start)] == start for start in DECIDING[kind])


def _alone(contents: Contents, asked: Settings) -> Settings:
    """Return the settings of the files alone; where they are none by themselves, what was asked for."""
    try:
        return build_settings(contents, None, with_environment=False)
    except SettingsError:
        return asked


def _changed_since(record: Record, of_file: Leaves, *, is_named: bool) -> dict[Key, Any]:
    """Return what the file says otherwise than the file of the record did, which may have been another."""
    if record.config is not None and not is_named:
        # The shipped file has no part in this directory, but for keys that did not exist when it was made.
        known = {*record.settings, *record.of_file}
        return {key: value for key, value in of_file.items() if key not in known and not decides(key, record.kind)}
    keys = {*of_file, *record.of_file}
    changed = {key: of_file.get(key, _ABSENT) for key in sorted(keys)}
    return {key: value for key, value in changed.items() if value != record.of_file.get(key, _ABSENT)}


def _differences(record: Record, settings: Leaves) -> Iterable[Difference]:
    for key in sorted({*settings, *record.settings}):
        recorded, given = record.settings.get(key, _ABSENT), settings.get(key, _ABSENT)
        if recorded != given and decides(key, record.kind):
            yield Difference(key, recorded, given)


def _flat(content: Mapping[str, Any], above: Key = ()) -> dict[Key, Any]:
    """Return a tree of mappings as its leaves; an empty mapping is one."""
    leaves: dict[Key, Any] = {}
    for name, value in content.items():
        key = (*above, name)
        leaves |= _flat(value, key) if isinstance(value, Mapping) and value else {key: value}
    return leaves


def _nested(leaves: Leaves) -> dict[str, Any]:
    """Return leaves as a tree of mappings, in their order."""
    tree: dict[str, Any] = {}
    for key, value in leaves.items():
        inner = tree
        for part in key[:-1]:
            inner = inner.setdefault(part, {})
        inner[key[-1]] = value
    return tree


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
