"""Progress of long work as bars in the terminal; the UI's log lines are in `progress`."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bars

from capsim_dagster.orchestration.progress import Advance


class BarProgress:
    """Shows each stage as a bar in the terminal, or as a line once it is done where there is no terminal."""

    def __init__(self, console: Console) -> None:
        """Prepare bars on a console; nothing is shown yet."""
        self._console = console
        self._starting = TaskID(0)
        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=32),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bars while a run lasts; those of the run before it go."""
        for task in self._bars.task_ids:
            self._bars.remove_task(task)
        with self._bars:
            self._starting = self._bars.add_task("starting the run", total=1, unit="run")
            yield

    @contextmanager
    def stage(self, _context: object, *, name: str, total: int, unit: str) -> Iterator[Advance]:
        """Open a stage of `total` units."""
        self._bars.update(self._starting, completed=1)
        task = self._bars.add_task(name, total=total, unit=unit)

        def advance(amount: int, what: str = "", /) -> None:
            self._bars.update(task, advance=amount, description=f"{name} {what}".strip())

        yield advance
        self._bars.update(task, description=name)
        if not self._console.is_terminal:
            self._console.print(f"{name}: {total:,} {unit}")

    def say(self, text: str) -> None:
        """Say what keeps all stages from going on, above the bars."""
        self._console.print(f"[yellow]{escape(text)}[/]", soft_wrap=True, highlight=False)
