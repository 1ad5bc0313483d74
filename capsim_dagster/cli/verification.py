"""Findings in the terminal."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Final, NoReturn

import click
from rich.console import Console

from capsim_dagster.audits.report import Finding, Findings
from capsim_dagster.cli.options import EXIT_FAILED, console
from capsim_dagster.cli.terminal import escape, tell, titled
from capsim_dagster.errors import plural

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
    """Print the claims that do not hold as a table, and the verdict in a line."""
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
