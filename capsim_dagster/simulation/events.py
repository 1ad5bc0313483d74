"""Events: bursts, anomalies and gaps, each with a first day, a duration and a size, found for any stretch of days.

Model: time is cut into slots of a fixed length, offset by host; in each slot an event happens with a given chance, at
a random place that leaves it room. So two events of one sort never overlap, their rate per day is exact, and whether
one covers a day is known from one or two slots, whatever the window. What an event does to a value is in `telemetry`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from capsim_dagster.schemas import ANOMALY_KINDS, EventKind
from capsim_dagster.seeding import Float32Array, Float64Array, HostStreams, UInt64Array, lanes_of, streams
from capsim_dagster.settings import ANOMALY_SLOT_DAYS, OUTAGE_SLOT_DAYS, Anomalies, Gaps

Int64Array = NDArray[np.int64]

BURST_SLOT_DAYS: Final = 8
"""A host has at most one burst in each stretch of so many days."""
MAX_BURST_DAYS: Final = 3
"""Longest burst [days]."""
LONGEST_EVENT_DAYS: Final = max(ANOMALY_SLOT_DAYS, OUTAGE_SLOT_DAYS)
"""How far past a day an event that covers it may reach [days]."""
_SINGLE_SLOT_DAYS: Final = 16
_CHANCE_LEVELS: Final = 1 << 24
"""Resolution of the chance of an event in a slot."""
_BURST_SIZES: Final = (0.75, 1.25)
"""Smallest and largest burst, as a multiple of the typical height."""
_KIND_NUMBER: Final = {kind: number for number, kind in enumerate(EventKind)}


class Lane(IntEnum):
    """Which of an event's four random numbers decides what."""

    KIND = 0
    DAYS = 1
    PLACE = 2
    SIZE = 3


@dataclass(frozen=True)
class SlotStreams:
    """Streams of one sort of event.

    Attributes:
        happens: Decide in which slots an event happens.
        details: Decide its place, duration and size.
        slot_days: Length of a slot [days].
    """

    happens: HostStreams
    details: HostStreams
    slot_days: int


@dataclass(frozen=True)
class Events:
    """Some events of the hosts of a block, each array of shape `(n_events,)`.

    Attributes:
        rows: Index of the host in the block.
        start: First day [days since 1970-01-01].
        days: Duration [days].
        kind: Index into `EventKind`.
        size: Bursts: height as a multiple of the typical one; spike, dip, level shift: change of demand as a share of
            it; variance change: factor of the noise; gaps: 0.
    """

    rows: Int64Array
    start: Int64Array
    days: Int64Array
    kind: Int64Array
    size: Float32Array

    def take(self, chosen: NDArray[np.bool_]) -> "Events":
        """Return the events that are chosen."""
        return Events(**{name: values[chosen] for name, values in vars(self).items()})

    def is_of(self, kind: EventKind) -> NDArray[np.bool_]:
        """Return which events are of a kind."""
        is_kind: NDArray[np.bool_] = self.kind == _KIND_NUMBER[kind]
        return is_kind


@dataclass(frozen=True)
class EventDays:
    """The days of some events within a stretch, one element an event and day, each of shape `(n_event_days,)`.

    Attributes:
        event: Index of the event.
        rows: Index of the host in the block.
        columns: Day within the stretch.
    """

    event: Int64Array
    rows: Int64Array
    columns: Int64Array


def slot_streams(seed: int, *name: str, hosts: Int64Array, slot_days: int) -> SlotStreams:
    """Return the streams of one sort of event, named by words, of some host numbers."""
    return SlotStreams(
        happens=streams(seed, *name, hosts=hosts),
        details=streams(seed, *name, "details", hosts=hosts),
        slot_days=slot_days,
    )


def burst_streams(seed: int, hosts: Int64Array) -> SlotStreams:
    """Return the streams of the bursts of some hosts."""
    return slot_streams(seed, "telemetry", "bursts", hosts=hosts, slot_days=BURST_SLOT_DAYS)


def bursts(source: SlotStreams, rate: Float32Array, hits: HostStreams, *, hit_share: float, span: range) -> Events:
    """Return the bursts of one resource: a host's bursts, each of which hits the resource or not.

    `rate`: bursts a day, 0 to 0.125, shape `(n_hosts,)`.
    `hits`: streams that decide whether one hits the resource.
    `hit_share`: chance that it does, 0 to 1.
    `span`: the days [days since 1970-01-01].
    """
    rows, slots, details = _happening(source, rate * BURST_SLOT_DAYS, span)
    is_hit = lanes_of(hits.words_at(rows, slots))[0] < hit_share
    rows, slots, lanes = rows[is_hit], slots[is_hit], lanes_of(details[is_hit])
    days = _whole_between(1, MAX_BURST_DAYS, lanes[Lane.DAYS])
    low, high = _BURST_SIZES
    size = low + (high - low) * lanes[Lane.SIZE]
    return _placed(source, rows, slots, days, lanes, kind=_numbers(EventKind.BURST, rows.size), size=size, span=span)


def anomaly_streams(seed: int, resource: str, hosts: Int64Array) -> SlotStreams:
    """Return the streams of the anomalies of one resource of some hosts."""
    return slot_streams(seed, "telemetry", resource, "anomalies", hosts=hosts, slot_days=ANOMALY_SLOT_DAYS)


def anomalies(source: SlotStreams, settings: Anomalies, *, has_any: NDArray[np.bool_], span: range) -> Events:
    """Return the anomalies of one resource.

    `has_any`: which series have anomalies at all, shape `(n_hosts,)`.
    `span`: the days [days since 1970-01-01].
    """
    chances = np.cumsum(list(settings.chances.values()))
    rows, slots, details = _happening(source, chances[-1] * has_any, span)
    lanes = lanes_of(details)
    chosen = np.minimum(np.searchsorted(chances, lanes[Lane.KIND] * chances[-1], side="right"), len(chances) - 1)
    shortest, longest = np.array([kind.days for kind in settings.kinds.values()]).T
    low, high = np.array([kind.size for kind in settings.kinds.values()]).T
    days = _whole_between(shortest[chosen], longest[chosen], lanes[Lane.DAYS])
    size = (low[chosen] + (high[chosen] - low[chosen]) * lanes[Lane.SIZE]) * _signs(chosen, details)
    kind = np.array([_KIND_NUMBER[kind] for kind in ANOMALY_KINDS])[chosen]
    return _placed(source, rows, slots, days, lanes, kind=kind, size=size, span=span)


@dataclass(frozen=True)
class GapStreams:
    """Streams of the gaps of one resource of some hosts: single days, outages of the resource, and of the agent."""

    singles: SlotStreams
    outages: SlotStreams
    agent: SlotStreams


def gap_streams(seed: int, resource: str, hosts: Int64Array) -> GapStreams:
    """Return the streams of the gaps of one resource of some hosts; those of the agent know no resource."""
    return GapStreams(
        singles=slot_streams(seed, "telemetry", resource, "missing", hosts=hosts, slot_days=_SINGLE_SLOT_DAYS),
        outages=slot_streams(seed, "telemetry", resource, "outages", hosts=hosts, slot_days=OUTAGE_SLOT_DAYS),
        agent=slot_streams(seed, "telemetry", "agent down", hosts=hosts, slot_days=OUTAGE_SLOT_DAYS),
    )


def gaps(source: GapStreams, settings: Gaps, span: range) -> list[Events]:
    """Return the gaps of one resource: single days, outages, and outages of the whole host.

    `span`: the days [days since 1970-01-01].
    """
    return [
        _gaps_of(source.singles, EventKind.MISSING, settings.single_rate, (1, 1), span),
        _gaps_of(source.outages, EventKind.OUTAGE, settings.outage_rate, settings.outage_days, span),
        _gaps_of(source.agent, EventKind.AGENT_DOWN, settings.agent_down_rate, settings.outage_days, span),
    ]


def days_of(events: Events, span: range) -> EventDays:
    """Return each day of each event that lies within a stretch."""
    first = np.maximum(events.start, span.start)
    length = np.minimum(events.start + events.days, span.stop) - first
    event = np.repeat(np.arange(events.rows.size), length)
    within = np.arange(event.size) - np.repeat(np.cumsum(length) - length, length)
    return EventDays(event=event, rows=events.rows[event], columns=first[event] - span.start + within)


def joined(parts: list[Events]) -> Events:
    """Return the events of several lists as one."""
    return Events(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def _gaps_of(source: SlotStreams, kind: EventKind, rate: float, bounds: tuple[int, int], span: range) -> Events:
    chance = np.full(source.happens.keys.size, source.slot_days * rate / (sum(bounds) / 2))
    rows, slots, details = _happening(source, chance, span)
    lanes = lanes_of(details)
    days = _whole_between(*bounds, lanes[Lane.DAYS])
    return _placed(
        source, rows, slots, days, lanes, kind=_numbers(kind, rows.size), size=np.zeros(rows.size), span=span
    )


def _happening(
    source: SlotStreams, chance: NDArray[np.floating], span: range
) -> tuple[Int64Array, Int64Array, UInt64Array]:
    """Return host, slot and random details of each event in the slots that may touch a stretch."""
    first, last = span.start // source.slot_days, (span.stop - 1) // source.slot_days + 2
    bound = np.floor(chance.astype(np.float64) * _CHANCE_LEVELS).astype(np.uint64)
    level = source.happens.words(first, last) >> np.uint64(40)
    rows, slots = np.nonzero(level < bound[:, np.newaxis])
    slots += first
    return rows, slots, source.details.words_at(rows, slots)


def _placed(  # noqa: PLR0913 one argument a property of an event
    source: SlotStreams,
    rows: Int64Array,
    slots: Int64Array,
    days: Int64Array,
    lanes: tuple[Float64Array, ...],
    *,
    kind: Int64Array,
    size: Float64Array,
    span: range,
) -> Events:
    """Put events into their slots and return those that touch the stretch."""
    offset = (source.happens.keys[rows] % np.uint64(source.slot_days)).astype(np.int64)
    room = source.slot_days - days + 1
    start = slots * source.slot_days - offset + (lanes[Lane.PLACE] * room).astype(np.int64)
    placed = Events(rows=rows, start=start, days=days, kind=kind, size=size.astype(np.float32))
    return placed.take((start < span.stop) & (start + days > span.start))


def _whole_between(low: Int64Array | int, high: Int64Array | int, share: Float64Array) -> Int64Array:
    """Return whole numbers from `low` to `high`, both inclusive, all equally likely."""
    drawn: Int64Array = low + (share * (high - low + 1)).astype(np.int64)
    return drawn


def _signs(chosen: Int64Array, details: UInt64Array) -> Float64Array:
    """Return the direction of anomalies: dips go down, level shifts either way, all others up."""
    is_down = ANOMALY_KINDS.index(EventKind.DIP) == chosen
    is_either = ANOMALY_KINDS.index(EventKind.LEVEL_SHIFT) == chosen
    return np.where(is_down | (is_either & ((details & np.uint64(1)) == 1)), -1.0, 1.0)


def _numbers(kind: EventKind, count: int) -> Int64Array:
    return np.full(count, _KIND_NUMBER[kind], dtype=np.int64)
