"""Days of an archive, made by hand for tests: what agents of a few hosts report."""

import datetime as dt
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from capsim_dagster.publication.dataset.export import Exported, Site
from capsim_dagster.publication.dataset.manifest import Provenance
from capsim_dagster.publication.tier3.export import export_day
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.settings import Archive
from capsim_dagster.settings.publication import Workload

DAY = dt.date(2026, 1, 15)
TODAY = dt.date(2026, 1, 16)
START = dt.date(2026, 1, 1)
NOW = dt.datetime(2026, 1, 16, 0, 5, 7, 123, tzinfo=dt.UTC)
MINUTES = 30
HOSTS = 12
SLOTS = 24 * 60 // MINUTES
ROWS = HOSTS * SLOTS
FIELDS = ("cpu", "memory", "disk", "network", "net_in_mbps", "net_out_mbps")

Line = dict[str, Any]
Change = Callable[[list[Line]], list[Line]]


def settings_of(minutes: int = MINUTES) -> Archive:
    workload = Workload(peak_hour=12, swing=0.5)
    return Archive(
        interval_minutes=minutes, agent_version="2.4.1", workloads={}, other_workload=workload, peak_jitter_hours=1
    )


def provenance() -> Provenance:
    return Provenance(seed=42, settings_hash="0123456789abcdef", version="0.1.0", start=START)


def site(root: Path) -> Site:
    """Return a site whose archive and output lie in a folder, and whose clock stands."""
    return Site(root / "archive", root / "output", settings_of(), provenance(), clock=lambda: NOW)


def line(host: int, slot: int, day: dt.date = DAY) -> Line:
    """Return what a host reports in an interval; host 5 has a gap from slot 3 to 4."""
    at = dt.datetime.combine(day, dt.time()) + dt.timedelta(minutes=slot * MINUTES)
    is_gap = host == 5 and slot in (3, 4)
    values = [None] * 6 if is_gap else [round((host * 7 + slot * 3.17 + 11 * i) % 100, 2) for i in range(6)]
    seq = ((day - START).days * 24 * 60) // MINUTES + slot
    meta = {"interval_s": MINUTES * 60, "agent": "2.4.1", "seq": seq}
    return {
        "host_id": f"srv-{host:06d}",
        "ts": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        **dict(zip(FIELDS, values, strict=True)),
        "meta": meta,
    }


def hour_lines(hour: int, hosts: int = HOSTS, day: dt.date = DAY) -> list[Line]:
    per_hour = 60 // MINUTES
    return [line(host, hour * per_hour + i, day) for i in range(per_hour) for host in range(1, hosts + 1)]


def text_of(lines: list[Line]) -> bytes:
    return "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in lines).encode()


def packed(text: bytes, members: int = 2) -> bytes:
    """Return a text in several gzip members, cut between lines."""
    lines = text.splitlines(keepends=True)
    size = max(-(-len(lines) // members), 1)
    pieces = [b"".join(lines[i : i + size]) for i in range(0, len(lines), size)]
    return b"".join(gzip.compress(piece, 1, mtime=0) for piece in pieces)


def hour_file(root: Path, hour: int, day: dt.date = DAY) -> Path:
    return root / "archive" / f"{day:%Y%m%d}" / f"{hour:02d}.jsonl.gz"


def write_hour(root: Path, hour: int, text: bytes, day: dt.date = DAY) -> Path:
    path = hour_file(root, hour, day)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed(text))
    return path


def write_day(root: Path, hosts: int = HOSTS, day: dt.date = DAY) -> None:
    for hour in range(24):
        write_hour(root, hour, text_of(hour_lines(hour, hosts, day)), day)


def change_hour(root: Path, hour: int, change: Change) -> None:
    """Write an hour with other lines."""
    write_hour(root, hour, text_of(change(hour_lines(hour))))


def export(
    root: Path, *, allow_incomplete: bool = False, day: dt.date = DAY, today: dt.date = TODAY
) -> Exported[DayManifest]:
    return export_day(site(root), day, today=today, allow_incomplete=allow_incomplete)


def files_in(root: Path) -> dict[str, bytes]:
    """Return every file below a folder with its content, and every folder."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b"(folder)" for path in root.rglob("*")
    }


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
