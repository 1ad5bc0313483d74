"""One YAML file of settings, read with bounds: any file ends early with an error that says what is wrong with it.

YAML itself keeps the last of two equal keys, reads `on:` as a truth value, and lets a short file stand for a huge one.
What the sections mean is in `model`.
"""

import stat
from collections import Counter
from pathlib import Path
from typing import Any, Final

import yaml

from capsim_dagster.errors import SettingsError

try:
    from yaml import CSafeDumper as SafeDumper
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    # PyYAML built without libyaml: a tenth of the speed, which is 50 ms a command to read and 50 ms to write.
    from yaml import SafeDumper, SafeLoader  # type: ignore[assignment]

_MAX_BYTES: Final = 1 << 20
"""The shipped file, comments and all, has a fortieth of it."""
_MAX_NODES: Final = 20_000
"""Keys and values, aliases counted as often as they are used; the shipped file has a tenth of it."""
_MAX_DEPTH: Final = 40
_TEXT_TAG: Final = "tag:yaml.org,2002:str"
_MERGE_TAG: Final = "tag:yaml.org,2002:merge"
_UNREADABLE: Final = (ValueError, KeyError, AttributeError, OverflowError)
"""What PyYAML raises for a scalar that only looks like a date or number."""


def read_yaml(path: Path, *, remedy: str) -> dict[str, Any]:
    """Return the sections of a settings file; an empty section has its defaults.

    `remedy`: what to do where it holds no sections.

    Raises:
        SettingsError: If it is no regular file of bearable size, no YAML mapping, or a key is no text or stands twice.
    """
    try:
        text = _bounded_text(path)
        _require_bounds(path, text)
        content = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 a SafeLoader
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}", remedy="name another file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # Indented, so that none of them can pass for a line of capsim's own.
        said = "\n  ".join(line.strip() for line in str(error).splitlines())
        raise SettingsError(f"{path} is not YAML: {said}", remedy="mend the line that is named") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path} holds no sections", remedy=remedy)
    return {section: values for section, values in content.items() if values is not None}


def yaml_text(content: dict[str, Any]) -> str:
    """Return sections as YAML, in their order."""
    text: str = yaml.dump(content, Dumper=SafeDumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def _bounded_text(path: Path) -> str:
    """Return the text of a regular file; a device or a pipe would never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        kind = "a folder" if path.is_dir() else "no regular file"
        raise SettingsError(f"{path} is {kind}; expected a YAML file", remedy="name the file itself")
    with path.open("rb") as stream:
        raw = stream.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise SettingsError(
            f"{path} is longer than {_MAX_BYTES >> 20} MiB; settings are a few pages", remedy="name a settings file"
        )
    return raw.decode()


def _require_bounds(path: Path, text: str) -> None:
    """Look at a file before anything of it is built: how deep it is, and how much it stands for."""
    sizes: dict[str, int] = {}
    counts, anchors = [0], [""]
    for event in yaml.parse(text, Loader=SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            counts.append(0)
            anchors.append(event.anchor or "")
        elif isinstance(event, yaml.CollectionEndEvent):
            size, anchor = counts.pop() + 1, anchors.pop()
            sizes |= {anchor: size} if anchor else {}
            counts[-1] += size
        elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            # An alias within its own anchor has no size yet: it stands for itself without end.
            is_alias = isinstance(event, yaml.AliasEvent)
            counts[-1] += sizes.get(str(event.anchor), _MAX_NODES if event.anchor in anchors else 1) if is_alias else 1
        if len(counts) > _MAX_DEPTH or sum(counts) > _MAX_NODES:
            raise SettingsError(
                f"{path} stands for more than {_MAX_NODES:,} keys and values, or is more than {_MAX_DEPTH} levels deep",
                remedy="name a settings file; they are far smaller",
            )


class _StrictLoader(SafeLoader):
    """Refuses keys that stand twice or are no text, and leaves a scalar that is no date or number as its text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        for key, _ in node.value:
            if key.tag not in (_TEXT_TAG, _MERGE_TAG):
                shown = f"'{key.value}'" if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                kind = key.tag.rpartition(":")[2]
                raise yaml.MarkedYAMLError(
                    problem=f"the key {shown} is read as {kind}, and keys are text; put it in quotes",
                    problem_mark=key.start_mark,
                )
        counts = Counter(key.value for key, _ in node.value if key.tag == _TEXT_TAG)
        twice = [key for key, count in counts.items() if count > 1]
        if twice:
            raise yaml.MarkedYAMLError(problem=f"the key '{twice[0]}' stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep=deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401 whatever YAML holds
        try:
            return super().construct_object(node, deep=deep)
        except _UNREADABLE:
            if not isinstance(node, yaml.ScalarNode):
                raise
            # Such as 2023-02-30: the model names the key when it refuses the text.
            return node.value
