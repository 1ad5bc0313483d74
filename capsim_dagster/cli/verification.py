"""What verifying a dataset found, in the terminal."""

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from capsim_dagster.cli.terminal import escape

if TYPE_CHECKING:
    from capsim_dagster.publication.findings import Verification

_COLOURS: Final = {"error": "red", "warning": "yellow", "info": "blue"}


def print_verification(terminal: Console, result: "Verification") -> None:
    """Print the claims that do not hold as a table, and the verdict in a line."""
    if result.against:
        table = Table("severity", "claim that does not hold", "count", "found", title="Findings", title_justify="left")
        table.columns[2].justify = "right"
        for finding in result.against:
            said = dict.fromkeys([*([finding.message] if finding.message else []), *finding.examples])
            colour = f"[{_COLOURS[finding.severity]}]{finding.severity}"
            table.add_row(colour, finding.name, f"{finding.count:,}", "\n".join(map(escape, said)))
        terminal.print(table)
    verdict = "[green]passed[/]" if result.passed else "[red]failed[/]"
    claims = f"{len(result.findings) - len(result.against):,} of {len(result.findings):,} claims hold"
    terminal.print(f"{verdict} {escape(result.where)}: {claims}, {result.rows:,} rows", soft_wrap=True, highlight=False)
