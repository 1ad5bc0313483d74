"""The terminal: what others wrote reaches it spelled out, and whatever it cannot write is written another way.

Every text that is printed goes through `Terminal`, so that nothing in it can drive the terminal or turn what is read;
a value that goes between rich's own markup goes through `escape` besides.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

import click
from rich import markup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from capsim_dagster.audits.report import Finding, Findings
from capsim_dagster.cli.options import EXIT_FAILED
from capsim_dagster.errors import plural
from capsim_dagster.text import visible, visible_lines

PAGE_WIDTH: Final = 140


class Terminal(Console):
    """A console that spells out what cannot be seen, and knows no `:emoji:`."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 those of rich
        """Take the options of rich's console."""
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 those of rich
        """Return a text as it is shown: rich asks here for each string, in tables too. The line breaks are ours."""
        return super().render_str("\n".join(map(visible, text.split("\n"))), **options)


def tell(terminal: Console, *lines: str) -> None:
    """Print lines of which each can be copied whole: only the terminal itself wraps them."""
    terminal.print(*lines, sep="\n", soft_wrap=True, highlight=False)


def titled(title: str, *columns: str, numbers: Iterable[int] = ()) -> Table:
    """Return an empty table with its title at the left; numbers are in the columns at these places, from 0 on."""
    table = Table(*columns, title=title, title_justify="left")
    for place in numbers:
        table.columns[place].justify = "right"
    return table


def console() -> Terminal:
    """Return the terminal, or a page wide enough for the tables where output goes to a file."""
    return Terminal() if sys.stdout.isatty() else Terminal(width=PAGE_WIDTH)


def escape(message: object) -> str:
    """Return a message or a value of others for a place where rich reads markup."""
    return markup.escape(visible_lines(message))


_WORDS: Final = {"error": "error", "warning": "warning", "info": "remark"}
_COLOURS: Final = {"error": "red", "warning": "yellow", "info": "blue"}


def print_against(terminal: Console, findings: Sequence[Finding]) -> None:
    """Print the claims that do not hold as a table, if there are any; examples beyond what the message says."""
    table = titled("Findings", "severity", "claim that does not hold", "count", "found", numbers=[2])
    for finding in (each for each in findings if not each.passed):
        further = [example for example in finding.examples if example not in finding.message]
        said = [*([finding.message] if finding.message else []), *further]
        colour = f"[{_COLOURS[finding.severity]}]{finding.severity}"
        table.add_row(colour, finding.claim, f"{finding.total:,}", "\n".join(map(escape, said)))
    if table.rows:
        terminal.print(table)


def end_with(results: Sequence[Findings], *, as_json: bool) -> NoReturn:
    """Print what was found on some datasets, and end with the exit code that says whether all passed."""
    for result in results:
        if as_json:
            click.echo(result.as_json(), nl=False)
        else:
            _print_verification(console(), result)
    sys.exit(0 if all(result.passed for result in results) else EXIT_FAILED)


def _print_verification(terminal: Console, result: Findings) -> None:
    print_against(terminal, result.findings)
    verdict = "[green]passed[/]" if result.passed else "[red]failed[/]"
    claims = claims_in_words(result.findings)
    tell(terminal, f"{verdict} {escape(result.where)}: {claims}, {plural(result.rows, 'row')}")


def claims_in_words(findings: Sequence[Finding]) -> str:
    """Return how many claims hold, and what those are that do not: a claim that only warns lets the rest pass.

    >>> from capsim_dagster.audits.report import Severity
    >>> claims_in_words([Finding("a", Severity.WARNING, 2), Finding("b")])
    '1 of 2 claims hold, 1 warning'
    """
    held = sum(finding.passed for finding in findings)
    against = Counter(str(finding.severity) for finding in findings if not finding.passed)
    counted = [plural(against[severity], word) for severity, word in _WORDS.items() if against[severity]]
    return ", ".join([f"{held:,} of {plural(len(findings), 'claim')} hold", *counted])
