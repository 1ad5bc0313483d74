"""The shipped settings files, read once a process: reading one costs more than a small test."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from capsim_dagster.settings import load
from capsim_dagster.settings.yaml_file import read_yaml

_SHIPPED: Final = Path(__file__).parents[2] / "config"


@contextmanager
def shipped_read_once() -> Iterator[None]:
    """Read each file of `config/` once while this lasts, and any other whenever it is asked for."""

    @cache
    def kept(path: Path, _size: int, _changed: int) -> dict[str, Any]:
        return read_yaml(path, remedy="mend it")

    def read(path: Path, *, remedy: str) -> dict[str, Any]:
        if path.parent != _SHIPPED or not path.is_file():
            return read_yaml(path, remedy=remedy)
        facts = path.stat()
        return copy.deepcopy(kept(path, facts.st_size, facts.st_mtime_ns))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(load, "read_yaml", read)
        yield
