"""Numbers, months, times and dialects as the audit page writes them."""

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any, Final

_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB")
_STEP: Final = 1_000
_PERCENT: Final = "\xa0%"
"""A line is not to break before the sign."""
_TRAITS: Final = "traits"
"""Where the dialect of a file lists how it differs from the plain feed."""


def number(count: int) -> str:
    """Return a count with separators.

    >>> number(8768000)
    '8,768,000'
    """
    return f"{count:,}"


def share(part: float) -> str:
    r"""Return a share in percent; neither something as nothing, nor almost all as all.

    >>> share(0.0), share(0.000001), share(0.0125), share(0.999999), share(1.0)
    ('0\xa0%', '<\xa00.01\xa0%', '1.25\xa0%', '>\xa099.99\xa0%', '100\xa0%')
    """
    if part in (0, 1):
        return f"{part * 100:.0f}{_PERCENT}"
    rounded = f"{part * 100:.2f}"
    return {"0.00": "<\xa00.01", "100.00": ">\xa099.99"}.get(rounded, rounded) + _PERCENT


def round_share(part: float) -> str:
    r"""Return a share that a person has set, as they would write it.

    >>> round_share(0.01), round_share(0.0125)
    ('1\xa0%', '1.25\xa0%')
    """
    return f"{part * 100:g}{_PERCENT}"


def size(count: int) -> str:
    """Return a number of bytes in the unit that suits it.

    >>> size(512), size(472_000_000)
    ('512 bytes', '472.0 MB')
    """
    power = min((len(str(abs(count))) - 1) // 3, len(_UNITS) - 1)
    return f"{count:,} bytes" if power == 0 else f"{count / _STEP**power:,.1f} {_UNITS[power]}"


def utc(moment: dt.datetime) -> str:
    """Return a time to the minute; a naive one is in UTC.

    >>> utc(dt.datetime(2026, 1, 2, 3, 4, 5))
    '2026-01-02 03:04 UTC'
    """
    aware = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    return f"{aware:%Y-%m-%d %H:%M} UTC"


def words(name: str) -> str:
    """Return a name of code as words.

    >>> words("value_out_of_range")
    'value out of range'
    """
    return name.replace("_", " ")


def dialect_traits(dialect: str) -> tuple[str, ...]:
    """Return how a file differs from the plain feed.

    >>> dialect_traits('{"encoding": "utf-8", "traits": ["bom", "gzip"]}'), dialect_traits("?")
    (('bom', 'gzip'), ())
    """
    traits = _parsed(dialect).get(_TRAITS, ())
    return tuple(str(trait) for trait in traits) if isinstance(traits, list) else ()


def dialect_words(dialect: str) -> str:
    """Return the dialect of a file in a few words.

    >>> dialect_words('{"encoding": "utf-8", "delimiter": ";", "traits": ["semicolon", "header_case"]}')
    "semicolon, header case (encoding 'utf-8', delimiter ';')"
    >>> dialect_words('{"encoding": "utf-8", "traits": []}'), dialect_words("?")
    ('plain', '?')
    """
    facts = _parsed(dialect)
    if not facts:
        return dialect
    traits = ", ".join(words(trait) for trait in dialect_traits(dialect))
    details = ", ".join(f"{words(str(name))} '{value}'" for name, value in facts.items() if name != _TRAITS)
    return f"{traits} ({details})" if traits and details else traits or "plain"


def _parsed(dialect: str) -> Mapping[str, Any]:
    try:
        facts = json.loads(dialect)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
