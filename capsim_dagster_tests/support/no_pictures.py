"""Runs without the pictures beside the assets, for tests of what runs leave behind: drawing is half of a small run."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from capsim_dagster.pictures import checks, composition, feed, of_disk


@contextmanager
def without_pictures() -> Iterator[None]:
    """Let assets have no pictures while this lasts."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (checks, composition, feed, of_disk):
            for name in dir(module):
                if name.endswith("_pictures"):
                    patched.setattr(module, name, lambda *_args, **_kwargs: {})
                elif name.endswith("_picture"):
                    patched.setattr(module, name, lambda *_args, **_kwargs: b"")
        yield
