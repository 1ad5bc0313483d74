"""What the commands of published datasets share: how each day or hour is published, and what is to be verified."""

import datetime as dt
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from capsim_dagster.cli.options import EXIT_FAILED, Command, config_option, days_in, days_option
from capsim_dagster.cli.recording import recording
from capsim_dagster.cli.terminal import console, escape, tell, titled
from capsim_dagster.errors import MAX_EXAMPLES, PublicationError

if TYPE_CHECKING:
    import dagster as dg

    from capsim_dagster.audits.report import Findings
    from capsim_dagster.orchestration.command_runs import CommandRun
    from capsim_dagster.publication.dataset.export import Exported, Site
    from capsim_dagster.publication.dataset.manifest import Manifest
    from capsim_dagster.settings import Settings
    from capsim_dagster.storage import Store

FOLDER: Final = click.Path(path_type=Path, file_okay=False)
upload_option = click.option("--upload", is_flag=True, help="Put them into the bucket too.")
replace_option = click.option(
    "--replace", is_flag=True, help="Let --upload replace what is published with other content."
)


@dataclass(frozen=True)
class Part:
    """A day or an hour: its name and partition key, what publishes it on disk, and what the table says of it then."""

    name: str
    key: str
    export: "Callable[[], Exported[Any]]"
    cells: Callable[[Any], Sequence[str]]


class Export:
    """The days or hours of one command, each told in a row of a table."""

    def __init__(
        self, settings: "Settings", form: "type[Manifest]", columns: Sequence[str], *, job: str, dry_run: bool
    ) -> None:
        """Publish nothing yet; the job is the one that makes them in the UI, and columns but the first hold numbers."""
        from capsim_dagster.publication.dataset.export import site_of

        self.settings, self.form, self.dry_run, self._job = settings, form, dry_run, job
        self.now = dt.datetime.now(dt.UTC)
        self.site: Site = site_of(settings, form)
        self._store: Store | None = None
        self._replace = False
        self._refused: list[PublicationError] = []
        self._cells = len(columns)
        self._table = titled(form.DATASET, *columns, "", numbers=range(1, len(columns)))

    def prepare_upload(self, *, replace: bool) -> None:
        """Make sure that the bucket can be reached, before long work starts."""
        from capsim_dagster.publication.dataset.upload import destination_of

        if not self.dry_run:
            self._store, self._replace = destination_of(self.settings), replace
            self._store.check()

    def run(self, parts: Sequence[Part], *, otherwise: str = "") -> NoReturn:
        """Publish days or hours, or say `otherwise` that there are none; end with the exit code: did all go well?"""
        with self._recording([part.key for part in parts]) as record:
            for part in parts:
                self._publish(part, record)
        terminal = console()
        terminal.print(self._table if parts else otherwise)
        for error in self._refused[:MAX_EXAMPLES]:
            tell(terminal, f"[red]refused[/] {escape(str(error))}")
        if len(self._refused) > MAX_EXAMPLES:
            terminal.print(f"and {len(self._refused) - MAX_EXAMPLES} more were refused")
        tell(terminal, escape(f"in {self.site.output_root}"))
        sys.exit(EXIT_FAILED if self._refused else 0)

    def _recording(self, keys: Sequence[str]) -> "AbstractContextManager[CommandRun | None]":
        """Record days or hours as they are published; there is nothing to record of none."""
        if self.dry_run or not keys:
            return nullcontext()
        return recording(self.settings, self._job, [self._asset], keys)

    @property
    def _asset(self) -> "dg.AssetKey":
        import dagster as dg

        return dg.AssetKey(self.form.DATASET)

    def _publish(self, part: Part, record: "CommandRun | None") -> None:
        exported = None
        try:
            exported = part.export()
            if record is not None:
                self._record(part.key, exported, record)
            self._table.add_row(*part.cells(exported.manifest), self._state(exported))
        except PublicationError as error:
            self._refused.append(error)
            if record is not None:
                record.refused(self._asset, error)
            if exported is None:
                self._table.add_row(part.name, *[""] * (self._cells - 1), "[red]refused")
            else:
                self._table.add_row(*part.cells(exported.manifest), "[red]upload refused")

    def _record(self, key: str, exported: "Exported[Any]", record: "CommandRun") -> None:
        """Look at a day or hour as a consumer would, and record what is found."""
        from capsim_dagster.orchestration.publication_assets import made_of
        from capsim_dagster.pipeline.platform import Platform

        made = made_of(Platform(self.settings), exported)
        if self._store is not None:  # what becomes of it in the bucket comes after this
            del made.facts["bucket"]
        record.made(self._asset, made, key)

    def _state(self, exported: "Exported[Any]") -> str:
        done = "unchanged" if exported.is_unchanged else "would be written" if self.dry_run else "[green]written[/]"
        if not getattr(exported.manifest, "complete", True):
            done += ", [yellow]incomplete[/]"
        if self._store is None:
            return done
        from capsim_dagster.publication.dataset.upload import upload

        prefix = self.settings.publication.prefix_of(self.form.DATASET)
        uploaded = upload(exported.folder, self.form, self._store, prefix, replace=self._replace)
        return f"{done}; {escape(uploaded.url)} {uploaded.outcome}"


@dataclass(frozen=True)
class Asked:
    """What a command is to verify: a folder on disk, or days in it, or days in the bucket; none = yesterday."""

    local: Path | None
    days: Sequence[dt.date]
    config: Path | None
    as_json: bool

    def folders(self) -> list[Path]:
        """Return the folders of the days on disk, or the one that was given."""
        assert self.local is not None  # noqa: S101 the caller looked
        names = [str(day) for day in self.days]
        return [self.local if name == self.local.name else self.local / name for name in names] or [self.local]


def verify_options(command: Command) -> Command:
    """Add the options that say what is to be verified; the command takes them as one argument `asked`."""

    @wraps(command)
    def taking_them(
        local: Path | None,
        dates: Iterable[Iterable[dt.date]],
        config: Path | None,
        *,
        remote: bool,
        as_json: bool,
        **others: Any,  # noqa: ANN401 the other options
    ) -> None:
        if (local is None) != remote:
            raise click.UsageError("give either --local DIR or --remote")
        command(Asked(local, days_in(dates), config, as_json), **others)

    made: Command = taking_them
    for option in (
        config_option,
        click.option("--json", "as_json", is_flag=True, help="Print every finding as JSON, one object a dataset."),
        days_option("yesterday, UTC"),
        click.option("--remote", is_flag=True, help="Verify what the bucket holds."),
        click.option("--local", type=FOLDER, help="Folder of one dataset or of a day, or of days by --date."),
    ):
        made = option(made)
    return made


def verified_there(
    store: "Store", prefix: str, places: Iterable[str], verify: "Callable[[Path], Findings]"
) -> "list[Findings]":
    """Return what is found on datasets that are fetched one by one from places below a prefix of a store."""
    from capsim_dagster.publication.dataset.upload import fetched

    results = []
    for place in places:
        with fetched(store, f"{prefix}/{place}") as folder:
            results.append(replace(verify(folder), where=store.url(f"{prefix}/{place}")))
    return results
