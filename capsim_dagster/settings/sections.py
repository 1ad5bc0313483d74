"""What every part of the settings shares: a frozen model that refuses unknown keys, and ranges."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A frozen part of the settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Weighted(Section):
    """A named choice and how often it is drawn."""

    name: str = Field(min_length=1)
    weight: float = Field(gt=0, description="Relative weight; the weights of a list need not add up to 1.")


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"found [{bounds[0]:g}, {bounds[1]:g}]; the lower bound comes first")
    return bounds


def _stays_inside(prefix: str) -> str:
    """Return a prefix without a slash at its end."""
    parts = prefix.removesuffix("/").split("/")
    if any(part in ("", ".", "..") or not re.fullmatch(r"[\w.=-]+", part, re.ASCII) for part in parts):
        raise ValueError(f"found {prefix!r}; expected a folder below bucket and data directory, such as panel/raw")
    return "/".join(parts)


Prefix = Annotated[str, AfterValidator(_stays_inside)]
"""A folder below bucket and data directory."""
FloatRange = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Lowest and highest value of a uniform draw."""
DaysRange = Annotated[tuple[int, int], AfterValidator(_ordered)]
"""Shortest and longest duration, both inclusive [days]."""


def require_all(found: Mapping[Any, object], kind: type[StrEnum], name: str) -> None:
    """Make sure that each member of an enumeration has its entry.

    Raises:
        ValueError: If one has none.
    """
    missing = [member.value for member in kind if member not in found]
    if missing:
        raise ValueError(f"{name} lacks {', '.join(missing)}; it needs {', '.join(member.value for member in kind)}")


def require_distinct(place: str, what: str, found: Sequence[str]) -> None:
    """Make sure that nothing stands twice.

    Raises:
        ValueError: If something does.
    """
    twice = sorted({value for value in found if found.count(value) > 1})
    if twice:
        raise ValueError(f"{place}: {what} {', '.join(twice)} stands twice; each {what} once")
