"""Measurement of the main job and of the publication of a day, stage by stage, without Dagster around them.

The stages of each run in one fresh process, as they do in `capsim run`. CPU seconds are user and system time of all
threads; the peak of resident memory is reset before each stage where the kernel allows it (Linux).
"""

import datetime as dt
import json
import multiprocessing
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from capsim_dagster.audits.report import Finding
from capsim_dagster.cli.floor import FLOOR, TOTAL, Floor
from capsim_dagster.errors import GateError, listed
from capsim_dagster.pictures import of_disk as pictures
from capsim_dagster.pipeline import checks, refine, stages
from capsim_dagster.pipeline.checks import TableMonths
from capsim_dagster.pipeline.dirt import expected_content
from capsim_dagster.pipeline.feed_checks import FeedMonths
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.publication import hourly_archive
from capsim_dagster.publication.dataset.export import site_of
from capsim_dagster.publication.tier3.export import export_day
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.publication.tier3.parity import master_p95
from capsim_dagster.publication.tier3.verify import verify_dataset
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import Settings

_RESET_PEAK: Final = Path("/proc/self/clear_refs")
_STATUS: Final = Path("/proc/self/status")
_KIB_PER_MIB: Final = 1024
_METER: Final = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
spent = usage.ru_utime + usage.ru_stime, time.perf_counter() - began, usage.ru_maxrss
print(json.dumps([os.waitstatus_to_exitcode(status), *spent]))
"""
"""A small process between: Linux counts the memory of the starting process as the peak of the one it starts."""
_BESIDE: Final = ("pictures",)
"""Stages that no run has: they are drawn when somebody looks."""

Announce = Callable[[str], None]
"""Told the name of each stage before it is measured."""


@dataclass(frozen=True)
class Measurement:
    """What one stage cost: user and system time over all threads, elapsed time, and the peak of resident memory."""

    stage: str
    cpu_s: float
    wall_s: float
    peak_rss_mib: float
    rows: int

    @property
    def rows_per_s(self) -> float:
        """Rows a wall second."""
        return self.rows / self.wall_s if self.wall_s else 0.0

    def as_json(self) -> Mapping[str, object]:
        """Return the measurement with its rate, for JSON."""
        return {**asdict(self), "rows_per_s": round(self.rows_per_s)}


def measure_stages(settings: Settings, announce: Announce) -> list[Measurement]:
    """Run and measure all stages and audits in one fresh process; their total follows, then what no run has.

    Raises:
        RuntimeError: If the process ends before it has measured.
    """
    measured = _measured_apart(settings, _stages, announce)
    counted = [m for m in measured if m.stage not in _BESIDE]
    return [*counted, _sum(TOTAL, counted), *(m for m in measured if m.stage in _BESIDE)]


def measure_floor(settings: Settings, announce: Announce) -> list[Measurement]:
    """Measure bare library calls on as many rows in one fresh process; the last measurement is their sum.

    Raises:
        RuntimeError: If the process ends before it has measured.
    """
    parts = _measured_apart(settings, _floor_parts, announce)
    shutil.rmtree(_floor_of(Platform(settings)).folder)
    return [*parts, _sum(FLOOR, parts)]


def measure_publication(settings: Settings, announce: Announce) -> list[Measurement]:
    """Archive, publish and verify the window's last day in one fresh process, and measure each; rows are samples.

    The master is that which `measure_stages` left.

    Raises:
        RuntimeError: If the process ends before it has measured.
    """
    return _measured_apart(settings, publication_stages, announce)


def _sum(name: str, parts: Sequence[Measurement]) -> Measurement:
    return Measurement(
        name,
        sum(m.cpu_s for m in parts),
        sum(m.wall_s for m in parts),
        max(m.peak_rss_mib for m in parts),
        max(m.rows for m in parts),
    )


_Stages = Callable[[Platform], Mapping[str, Callable[[], int]]]
"""Returns stages by name; each returns the rows it wrote or audited."""


def _measured_apart(settings: Settings, stages_of: _Stages, announce: Announce) -> list[Measurement]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_all, args=(settings.model_dump(mode="json"), stages_of, sender))
    process.start()
    sender.close()
    measured: list[Measurement]
    try:
        while isinstance(told := receiver.recv(), str):
            announce(told)
        measured = told
    except EOFError:
        raise RuntimeError("the measured process ended early; its error is printed above") from None
    finally:
        process.join()
    return measured


def measure_command(*name: str, options: Sequence[str], again: bool = False) -> Measurement:
    """Run a command of `capsim` as a process of its own and measure all of it, start-up included.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    stage = f"capsim {' '.join(name)}{' again' if again else ''}, whole process"
    return measure_process(stage, ["-m", "capsim_dagster.cli", *name, *options])


def measure_process(stage: str, arguments: Sequence[str]) -> Measurement:
    """Run Python with some arguments as a process of its own and measure all of it.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    command = [sys.executable, *arguments]
    metered = subprocess.run([sys.executable, "-I", "-S", "-c", _METER, *command], stdout=subprocess.PIPE, check=True)
    returncode, cpu_s, wall_s, peak_kib = json.loads(metered.stdout)
    if returncode:
        raise subprocess.CalledProcessError(returncode, command)
    return Measurement(stage, cpu_s, wall_s, peak_kib / _KIB_PER_MIB, 0)


def _measure_all(settings: Mapping[str, object], stages_of: _Stages, sender: Connection) -> None:
    measured = []
    for name, run in stages_of(Platform(Settings.model_validate(settings))).items():
        sender.send(name)
        measured.append(_measure(name, run))
    sender.send(measured)


def _floor_of(platform: Platform) -> Floor:
    fleet = platform.generation
    return Floor(fleet.num_servers, fleet.start_date, fleet.end_date, platform.layout.root / "floor")


def _floor_parts(platform: Platform) -> Mapping[str, Callable[[], int]]:
    # pyarrow's first array loads pandas where that is installed: half a second that no row costs.
    pa.array(np.zeros(1))
    return _floor_of(platform).parts()


def publication_stages(platform: Platform) -> dict[str, Callable[[], int]]:
    """Return the stages of publishing the window's last day, seen from the day after; each returns its samples."""
    day = platform.generation.end_date
    today, site = day + dt.timedelta(days=1), site_of(platform.settings, DayManifest)

    def verify() -> int:
        # A small fleet with a gap has more nulls than the bound of a large one.
        found = verify_dataset(site.folder(day), max_null_share=1.0, p95=master_p95(platform.layout.master, day))
        _require_held(f"{each.claim}: {each.message}" for each in found.errors)
        return found.rows

    return {
        "hourly_archive, a day": lambda: hourly_archive(platform, day, today=today).lines,
        "tier3_daily, a day": lambda: export_day(site, day, today=today).manifest.rows,
        "tier3 verify, a day": verify,
    }


def _stages(platform: Platform) -> dict[str, Callable[[], int]]:
    """Return the stages in order; each returns the rows it wrote or audited."""

    def months() -> list[int]:
        return stages.calendar_months(platform)

    def load() -> int:
        return sum(month.rows for month in refine.processed_data(platform, months(), run="bench"))

    def feed_checks() -> int:
        audits = FeedMonths(platform)
        reports = [found for month in months() for found in audits.audit(month, Resource).values()]
        return sum(map(_audited_rows, reports))

    def table_checks() -> int:
        chosen = months()
        expected = expected_content(platform, chosen)
        with platform.writing() as connection:
            connection.execute("SET threads = 1")  # as the refinery does, whose connection the audits use
            audits = TableMonths(platform, connection, expected)
            return sum(_audited_rows(audits.audit(month)) for month in chosen)

    return {
        "host_inventory": lambda: stages.host_inventory(platform).hosts.height,
        "time_dimension": lambda: stages.time_calendar(platform).days,
        "fleet checks": lambda: _audited_rows({**checks.host_inventory(platform), **checks.time_dimension(platform)}),
        "master_parquet": lambda: stages.master_parquet(platform).rows,
        "master checks": lambda: _audited_rows(checks.master_parquet(platform)),
        "ground_truth": lambda: stages.ground_truth(platform).expected.rows,
        "truth checks": lambda: _audited_rows(checks.ground_truth(platform)),
        "monthly_csv": lambda: sum(file.lines for file in stages.monthly_csv(platform, months())),
        "feed checks": feed_checks,
        "processed_data": load,
        "processed_data, again": load,
        "table checks": table_checks,
        "audit checks": lambda: _audited_rows(checks.refinery_audit(platform, months())),
        "pictures": lambda: _drawn(platform),
    }


def _drawn(platform: Platform) -> int:
    """Draw the pictures of master and ground truth; they are no rows."""
    pictures.master_pictures(platform)
    pictures.truth_pictures(platform)
    return 0


def _audited_rows(reports: Mapping[str, Finding]) -> int:
    """Return the rows that were audited; a cost means nothing if a claim did not hold."""
    failed = [f"{report.claim}: {report.verdict}" for report in reports.values() if not report.passed]
    _require_held(failed, mend="mend the data, or ")
    return max(int(report.counts.get("rows", report.counts.get("hosts", 0))) for report in reports.values())


def _require_held(failed: Iterable[str], *, mend: str = "") -> None:
    if told := listed(failed):
        raise GateError(told, remedy=f"the measurement is void: {mend}measure in an empty folder")


def _measure(stage: str, run: Callable[[], int]) -> Measurement:
    _reset_peak()
    cpu, wall = time.process_time(), time.perf_counter()
    rows = run()
    return Measurement(stage, time.process_time() - cpu, time.perf_counter() - wall, peak_rss_mib(), rows)


def _reset_peak() -> None:
    """Ask the kernel to forget the peak so far; without Linux the peak is that of the process until now."""
    if _RESET_PEAK.exists():
        _RESET_PEAK.write_text("5")


def peak_rss_mib() -> float:
    """Return the peak of resident memory of this process [MiB]; the one that started it has no part in it on Linux."""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / _KIB_PER_MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_PER_MIB
