"""`capsim tier1`: the fleet as it is now, or as it was, live over HTTP and into the archive."""

import datetime as dt
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final, Self

import click

from capsim_dagster.cli import options
from capsim_dagster.cli.recording import recording, warn
from capsim_dagster.errors import CapsimError

if TYPE_CHECKING:
    from capsim_dagster.publication.live.interval import LiveFleet
    from capsim_dagster.settings import Settings

_INSTANT: Final = options.Moment("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")
_MAX_SPEED: Final = 100_000.0


@click.group()
def tier1() -> None:
    """The live fleet: every interval archived when it begins, and served as metrics, streams and a page.

    \b
    capsim tier1 serve                                           the present
    capsim tier1 serve --from 2026-01-15T00:00 --speed 60       a day in 24 minutes
    """  # noqa: D301 click formats this text


@tier1.command()
@click.option("--speed", type=click.FloatRange(1, _MAX_SPEED), default=1.0, help="Simulated seconds in a second.")
@click.option("--from", "begin", type=_INSTANT, help="Simulated time to start from, UTC. Default: the present.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind to.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port; 0 = any that is free. Default: live.port.")
@options.config_option
@options.data_dir_option
@options.fleet_options
def serve(speed: float, begin: dt.datetime | None, host: str, port: int | None, given: options.Given) -> None:
    """Make the fleet live. Ctrl-C ends it; started again, it goes on where it stopped.

    \b
    /metrics   the current interval for Prometheus, as OpenMetrics or text
    /latest    the current interval as one JSON object
    /stream    every interval as JSON lines, or as server-sent events (Accept: text/event-stream);
               ?after=SEQ or Last-Event-ID goes on after an interval, as long as it is held
    /summary   by region and resource, and the hosts that run hot; the stream of it likewise
    /hosts     every host in the current interval, a list a column; /hosts/HOST: one in all that are held
    /healthz   200 while intervals come, 503 and the reason when none does
    /          a page that shows the summary and every host

    Each interval is appended to archive/YYYYMMDD/HH.jsonl.gz.part when it begins; the file of an hour that is over has
    the bytes of capsim archive. Intervals of less than a day that were missed are written first.

    Bound to anything but loopback it needs a token of 16 characters or more in CAPSIM_LIVE_TOKEN, and every caller must
    show it: Authorization: Bearer TOKEN. On loopback a token that is set is asked for too.
    """  # noqa: D301 click formats this text
    from capsim_dagster.publication.live import serve as live
    from capsim_dagster.publication.live.guard import TOKEN_VARIABLE

    chosen = options.open_simulated(given)
    settings = chosen.settings
    how = live.LiveOptions(
        archive_root=options.layout_of(settings).archive,
        host=host,
        port=settings.live.port if port is None else port,
        max_backlog=settings.live.max_backlog,
        max_connections=settings.live.max_connections,
        hot_percent=settings.live.hot_percent,
        token=os.environ.get(TOKEN_VARIABLE),
        start=begin and begin.replace(tzinfo=dt.UTC),
        speed=speed,
    )
    record = cache(lambda: options.record_simulated(chosen))

    def announce(line: str) -> None:
        # It is live, so the archive has begun.
        record()
        options.say(f"capsim: {line}")

    with _DaysRecorder(settings) as days:
        live.serve(_fleet(settings), replace(how, day_over=days.add), announce)


class _DaysRecorder:
    """Records days of the archive that the server has made whole, beside its work: clients do not wait for it."""

    def __init__(self, settings: "Settings") -> None:
        self._settings, self._context = settings, click.get_current_context()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="history")
        self._asked: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until what is whole is recorded; what nobody foresaw is raised."""
        self._worker.shutdown()
        for asked in self._asked:
            asked.result()

    def add(self, day: dt.date) -> None:
        """Have a day recorded, if it is whole."""
        self._asked.append(self._worker.submit(self._record, day))

    def _record(self, day: dt.date) -> None:
        try:
            self._record_whole(day)
        except CapsimError as error:
            # The archive is written all the same; `capsim archive --date` records the day as well.
            warn(f"{day} is not recorded, so the UI does not show it: {error}")

    def _record_whole(self, day: dt.date) -> None:
        from capsim_dagster.pipeline.platform import Platform
        from capsim_dagster.pipeline.publication import archived_day

        # A fleet that runs ahead of the clock archives days that Dagster has no partitions for yet.
        is_over = self._settings.data_generation.start_date <= day < dt.datetime.now(dt.UTC).date()
        platform = Platform(self._settings)
        if not is_over or (made := archived_day(platform, day)) is None:
            return
        from capsim_dagster.orchestration.command_runs import recorded_version
        from capsim_dagster.orchestration.jobs import DAILY_PUBLICATION
        from capsim_dagster.orchestration.keys import HOURLY_ARCHIVE
        from capsim_dagster.orchestration.publication_assets import day_of_archive

        if recorded_version(platform.layout, HOURLY_ARCHIVE, str(day)) == made.sha256:
            return
        with (
            self._context.scope(cleanup=False),
            recording(self._settings, DAILY_PUBLICATION, [HOURLY_ARCHIVE], [str(day)]) as record,
        ):
            record.made(HOURLY_ARCHIVE, day_of_archive(platform, made), str(day))


def _fleet(settings: "Settings") -> "LiveFleet":
    from capsim_dagster.publication.live.interval import LiveFleet
    from capsim_dagster.simulation.fleet import fleet_of

    generation = settings.data_generation
    return LiveFleet(generation, settings.archive, settings.panel.inbound_share, fleet_of(generation))
