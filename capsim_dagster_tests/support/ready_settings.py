"""The shipped settings, read and built once a process: to read a file of them costs more than a small test."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from capsim_dagster.settings import Settings, directory, load
from capsim_dagster.settings.yaml_file import read_yaml

_SHIPPED: Final = Path(__file__).parents[2] / "config"


@contextmanager
def shipped_read_once() -> Iterator[None]:
    """Read each file of `config/` once while this lasts, and build the settings of the same files alone once."""
    alone = directory._alone
    built: dict[bytes, Settings] = {}

    @cache
    def content_of(path: Path, _size: int, _changed: int) -> bytes:
        return pickle.dumps(read_yaml(path, remedy="mend it"))

    def read(path: Path, *, remedy: str) -> dict[str, Any]:
        if path.parent != _SHIPPED or not path.is_file():
            return read_yaml(path, remedy=remedy)
        facts = path.stat()
        content: dict[str, Any] = pickle.loads(content_of(path, facts.st_size, facts.st_mtime_ns))  # noqa: S301 ours
        return content

    def alone_once(contents: load.Contents, asked: Settings) -> Settings:
        if any(path.parent != _SHIPPED for path in contents):
            return alone(contents, asked)
        key = pickle.dumps(contents)
        settings = built.get(key) or alone(contents, asked)
        if settings is not asked:
            built[key] = settings
        return settings

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(load, "read_yaml", read)
        patched.setattr(directory, "_alone", alone_once)
        yield
