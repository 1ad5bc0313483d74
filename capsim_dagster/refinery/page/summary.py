"""The audit page in a few lines of Markdown, for where there is no room for the page: verdict, balance, concerns."""

from typing import Final

from capsim_dagster.errors import MAX_EXAMPLES, listed
from capsim_dagster.refinery.page.view import Concern, PageView
from capsim_dagster.refinery.page.words import number
from capsim_dagster.schemas.months import month_name
from capsim_dagster.text import markdown, shortened

_FOREIGN_CHARACTERS: Final = 120


def audit_summary(view: PageView) -> str:
    """Return what the page says first.

    Args:
        view: What the page shows.
    """
    rows = [
        f"| {_foreign(name)} | {number(t.files)} | {number(t.lines)} | {number(t.loaded)} | {number(t.rejected)} |"
        for name, t in view.balance
    ]
    head = ["| | files | lines | loaded | rejected |", "|---|--:|--:|--:|--:|"]
    table = [] if view.account.is_empty else [*head, *rows, ""]
    details = [_foreign(detail, 10 * _FOREIGN_CHARACTERS) for detail in view.verdict.details]
    found = [_line(concern) for kind in view.concerns.values() for concern in kind]
    more = [f"- and {number(len(found) - MAX_EXAMPLES)} more"] if len(found) > MAX_EXAMPLES else []
    return "\n".join([f"**{_foreign(view.verdict.sentence)}**", "", *details, "", *table, *found[:MAX_EXAMPLES], *more])


def _line(concern: Concern) -> str:
    where = f"{month_name(concern.month)} {listed(concern.resources)}"
    return f"- {_foreign(where)}: {_foreign(concern.what)}"


def _foreign(text: str, characters: int = _FOREIGN_CHARACTERS) -> str:
    """Return text that others wrote as Markdown shows it, sign for sign, and not too long."""
    return markdown(shortened(text, characters))
