"""Which feed is refined, and the sensor that asks for months of a user's feed whose files are new, changed or gone.

What has changed is found by `pipeline.feed_watch`; here are the requests, the reasons and the cursor.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import dagster as dg
from pydantic import Field

from capsim_dagster.errors import CapsimError, listed
from capsim_dagster.orchestration.jobs import LOADING_JOBS, REFINE_FEED
from capsim_dagster.orchestration.keys import PROCESSED_DATA
from capsim_dagster.orchestration.months import key_of, key_ranges, month_of, range_tags, ranges_named
from capsim_dagster.orchestration.partitions import standing, widen_span
from capsim_dagster.pipeline import feed_watch
from capsim_dagster.pipeline.feed_watch import Look, Snapshot
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas.months import yearmonth
from capsim_dagster.settings import Refinery


class FeedResource(dg.ConfigurableResource["FeedResource"]):
    """The feed that `processed_data` is loaded from: capsim's own, or any tree of monthly files."""

    feed_dir: str | None = Field(default=None, description="Root of a feed that capsim did not write; empty = its own.")
    inventory: str | None = Field(default=None, description="CSV of the hosts that may occur; empty = any host.")
    max_rejected_share: float = Field(
        default=0.01, ge=0, le=1, description="Share of a month's lines that may be rejected."
    )
    allow_partial: bool = Field(default=False, description="Load what is sound of a month that is refused otherwise.")

    @classmethod
    def of(cls, refinery: Refinery) -> "FeedResource":
        """Return the resource that does as the settings say."""
        return cls(
            feed_dir=None if refinery.feed_dir is None else str(refinery.feed_dir),
            inventory=None if refinery.inventory is None else str(refinery.inventory),
            max_rejected_share=refinery.max_rejected_share,
            allow_partial=refinery.allow_partial,
        )

    def refining(self, platform: Platform) -> Platform:
        """Return the platform with this feed in its settings."""
        chosen = {
            "feed_dir": Path(self.feed_dir) if self.feed_dir else None,
            "inventory": Path(self.inventory) if self.inventory else None,
            "max_rejected_share": self.max_rejected_share,
            "allow_partial": self.allow_partial,
        }
        settings = platform.settings
        refinery = settings.refinery.model_copy(update=chosen)
        return replace(platform, settings=settings.model_copy(update={"refinery": refinery}))


FEED_SENSOR: Final = "feed_sensor"
INTERVAL_SECONDS: Final = 30
"""Between two ticks, at least: how long a file must rest before it counts."""
_NO_FEED: Final = (
    "there is no feed to watch: set refinery.feed_dir (CAPSIM__REFINERY__FEED_DIR) to the folder that monthly files "
    "arrive in, and reload the definitions; capsim's own feed needs no sensor, as its runs write it"
)
_DESCRIPTION: Final = (
    "Watches the folder `refinery.feed_dir` and asks for the months whose files are new, changed or gone: job "
    f"`{REFINE_FEED}`, months in a row as one run.\n\n"
    "A file counts once two ticks in a row saw it with the same size and time, so that no half-copied file is loaded; "
    "a new time alone changes nothing. Where the whole folder is gone, or holds no file of the layout, nothing is "
    "asked for. A tick without a request says why. To look at every month anew, reset the cursor: a month that is "
    "loaded, with just these files, is not asked for again.\n\n"
    "Settings: `refinery.feed_dir`, `legacy_feed.layout`, `automation.max_months_per_run`."
)


def feed_sensor(platform: Platform, months: dg.PartitionsDefinition[str]) -> dg.SensorDefinition:
    """Return the sensor of `refine_feed`; it exists without a feed too, and then says how to name one."""

    @dg.sensor(
        job_name=REFINE_FEED,
        name=FEED_SENSOR,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=_DESCRIPTION,
    )
    def feed_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if platform.refines_own_feed:
            return dg.SkipReason(_NO_FEED)
        before = _snapshot(context, platform)
        try:
            look = feed_watch.look(platform, before, may_ask=lambda month: months.has_partition_key(key_of(month)))
        except (CapsimError, OSError) as error:
            # The cursor stays: a share that is not mounted comes back with the files that it had.
            return dg.SkipReason(_printable(f"nothing is asked for while the feed cannot be seen: {error}"))
        requests = _requests(context, platform, look, months)
        notes = _notes(platform, look)
        cursor = look.snapshot.as_json()
        if not requests:
            return dg.SensorResult(
                skip_reason=_printable("; ".join([*_at_rest(platform, look), *notes])), cursor=cursor
            )
        for note in notes:
            context.log.warning(_printable(note))
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    return feed_sensor


def _snapshot(context: dg.SensorEvaluationContext, platform: Platform) -> Snapshot:
    """Return what the cursor says; where it says nothing of this feed, a watch that begins."""
    feed = feed_watch.feed_name(platform)
    if context.cursor:
        kept = feed_watch.read_snapshot(context.cursor)
        if kept is None:
            context.log.warning("the cursor is damaged, or of another version of capsim: every month is looked at anew")
        elif kept.feed == feed:
            return kept
        else:
            context.log.warning(f"the feed was {kept.feed} and is {feed}: every month is looked at anew")
    return Snapshot(feed=feed, since=dt.datetime.now(dt.UTC).isoformat())


def _requests(
    context: dg.SensorEvaluationContext, platform: Platform, look: Look, months: dg.PartitionsDefinition[str]
) -> list[dg.RunRequest]:
    asked = look.changed.keys() - _loaded(context.instance, platform, look, months)
    return [
        dg.RunRequest(run_key=f"{ranges_named(part)} {look.key([*map(month_of, part)])}", tags=range_tags(part))
        for part in key_ranges(map(key_of, asked), platform.settings.automation.max_months_per_run)
    ]


def _loaded(
    instance: dg.DagsterInstance, platform: Platform, look: Look, months: dg.PartitionsDefinition[str]
) -> set[int]:
    """Return the months that this watch sees for the first time and that need no run.

    Dagster and the table must agree: a month whose last try failed is asked for, and so is one of other files.
    """
    if not look.first_seen:
        return set()
    found = standing(instance, PROCESSED_DATA, months, [*map(key_of, look.first_seen)], jobs=LOADING_JOBS)
    if not found.present:
        return set()
    return feed_watch.loaded_months(platform, {month: look.changed[month] for month in map(month_of, found.present)})


def _at_rest(platform: Platform, look: Look) -> list[str]:
    """Return what a look found that asks for no month."""
    if look.changed:
        return [f"{_named(look.changed)}: the table holds these files already"]
    known = len(look.snapshot.files)
    return [f"{known:,} files under {platform.refined.root} are as they were"] if known else []


def _notes(platform: Platform, look: Look) -> list[str]:
    """Return what a person should know about the months that differ but are not asked for."""
    notes = []
    if not look.snapshot.files and not look.snapshot.moving:
        notes.append(f"no file of the resources in use (refinery.resources) under {platform.refined.root}")
    if look.waiting:
        reasons = listed(look.waiting.values())
        notes.append(f"{_named(look.waiting)}: waiting for files to come to rest or to be readable ({reasons})")
    first = yearmonth(platform.generation.start_date)
    before = [month for month in look.outside if month < first]
    if before:
        widen_span(platform.layout, map(key_of, before))
        notes.append(f"{_named(before)}: asked for once they are partitions -> reload the definitions")
    later = [month for month in look.outside if month >= first]
    if later:
        notes.append(f"{_named(later)}: not over yet; asked for when it is")
    return notes


def _named(months: Iterable[int]) -> str:
    return ranges_named(map(key_of, months))


def _printable(text: str) -> str:
    """Return a text that can be stored whatever bytes file names are made of."""
    return text.encode("utf-8", "backslashreplace").decode()
