"""The audit page as HTML, which needs nothing but itself: no script, no font, no style from elsewhere.

So it can be mailed, archived and opened without a network. What it says is decided in `view`. Where there is no room
for it, a summary says in a few lines of Markdown its verdict, balance and concerns.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

import jinja2

from capsim_dagster.errors import MAX_EXAMPLES, listed
from capsim_dagster.refinery.account import RAW_CHARACTERS, PieceState, Source
from capsim_dagster.refinery.page import view, words
from capsim_dagster.refinery.page.view import Concern, PageView
from capsim_dagster.schemas.months import month_name
from capsim_dagster.text import markdown, share, shortened, visible

_TEMPLATE: Final = "page.html.j2"
_FOREIGN_CHARACTERS: Final = 300
"""How much of a path, a label or a finding is shown: a feed decides how long these are."""
_STATES: Final[Mapping[PieceState, str]] = {
    PieceState.LOADED: "every line is loaded",
    PieceState.PARTLY: "loaded, without the lines that were rejected",
    PieceState.REFUSED_KEPT: "refused; the rows of an earlier file are kept",
    PieceState.REFUSED: "refused; there are no rows",
    PieceState.HELD_BACK: "held back: another file of the month was refused, and there are no rows",
    PieceState.MISSING: "missing: no file was loaded",
    PieceState.STRAY: "rows without a file that accounts for them",
}

_SOURCES: Final[Mapping[Source, str]] = {
    Source.CHANGED: "≠ the file has changed since",
    Source.LOST: "≠ the file is gone since",
    Source.ROTATED: "no longer in the feed",
}
_SUMMARY_CHARACTERS: Final = 120


def rendered(shown: PageView, warehouse: Path) -> str:
    """Return the page as HTML, with the warehouse that its facts are from."""
    template = _environment().get_template(_TEMPLATE)
    return template.render(
        view=shown,
        account=shown.account,
        warehouse=str(warehouse),
        terms=words,
        states=_STATES,
        sources=_SOURCES,
        raw_characters=RAW_CHARACTERS,
        max_concerns=view.MAX_CONCERNS,
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": "{:,}".format,
        "share": share,
        "size": words.size,
        "month": month_name,
        "utc": words.utc,
        "words": words.words,
        "dialect": words.dialect_words,
        "foreign": _foreign,
        "shade": view.shade,
    }
    environment.tests["whole"] = view.is_whole
    return environment


def _source(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _foreign(text: str, characters: int = _FOREIGN_CHARACTERS) -> str:
    return visible(shortened(text, characters))


def audit_summary(page: PageView) -> str:
    """Return what the page says first."""
    rows = [
        f"| {_in_markdown(name)} | {t.files:,} | {t.lines:,} | {t.loaded:,} | {t.rejected:,} |"
        for name, t in page.balance
    ]
    head = ["| | files | lines | loaded | rejected |", "|---|--:|--:|--:|--:|"]
    table = [] if page.account.is_empty else [*head, *rows, ""]
    details = [_in_markdown(detail, 10 * _SUMMARY_CHARACTERS) for detail in page.verdict.details]
    found = [_line(concern) for kind in page.concerns.values() for concern in kind]
    more = [f"- and {len(found) - MAX_EXAMPLES:,} more"] if len(found) > MAX_EXAMPLES else []
    return "\n".join(
        [f"**{_in_markdown(page.verdict.sentence)}**", "", *details, "", *table, *found[:MAX_EXAMPLES], *more]
    )


def _line(concern: Concern) -> str:
    where = f"{month_name(concern.month)} {listed(concern.resources)}"
    return f"- {_in_markdown(where)}: {_in_markdown(concern.what)}"


def _in_markdown(text: str, characters: int = _SUMMARY_CHARACTERS) -> str:
    """Return text that others wrote as Markdown shows it, sign for sign, and not too long."""
    return markdown(shortened(text, characters))
