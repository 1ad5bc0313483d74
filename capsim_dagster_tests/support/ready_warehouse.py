"""The empty warehouse, made once a process and copied from then on: making one costs as much as opening it twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from capsim_dagster.storage import atomic_path, warehouse

REAL_MAKE: Final = warehouse._make
"""What makes a warehouse where nothing is copied."""
_EMPTY: Final[dict[str, bytes]] = {}
"""The content of an empty warehouse, by the version of its schema."""


@contextmanager
def warehouse_ready() -> Iterator[None]:
    """Let each new warehouse but the first be a copy while this lasts; processes that a test starts make their own."""

    def copied(path: Path) -> None:
        if warehouse.SCHEMA_VERSION not in _EMPTY:
            REAL_MAKE(path)
            _EMPTY[warehouse.SCHEMA_VERSION] = path.read_bytes()
            return
        with atomic_path(path, replaces=False) as temporary:
            temporary.write_bytes(_EMPTY[warehouse.SCHEMA_VERSION])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(warehouse, "_make", copied)
        yield
