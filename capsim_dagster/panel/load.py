"""`validated_server_metrics`: a panel is found, repaired where that is safe, judged, and staged if it passes.

Whatever the verdict, a report says what was found; a panel that fails leaves the validated one of before in place.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from capsim_dagster.audits.report import Finding, Severity
from capsim_dagster.errors import PanelError
from capsim_dagster.panel.contract import PanelName
from capsim_dagster.panel.examine import Examination, examine
from capsim_dagster.panel.expect import Expectation, expectation, read_footer
from capsim_dagster.panel.find import FoundPanel, find_panel
from capsim_dagster.panel.findings import PERCENT, FileFacts, MetricFacts, PanelFacts, PanelReport, Repair
from capsim_dagster.panel.judge import (
    Counted,
    expectation_is_known,
    judge_columns,
    judge_rows,
    judge_types,
    not_judged,
)
from capsim_dagster.panel.read import PanelFile, PanelRows, Reading, open_panel
from capsim_dagster.panel.stage import Copying, stage, version_of
from capsim_dagster.settings import Settings
from capsim_dagster.storage import Store, sha256

Advance = Callable[[int, int], None]
"""Is told the rows of each batch that was examined, and the rows of the whole file."""
_READABLE: Final = Finding("file_is_readable", Severity.ERROR)


@dataclass(frozen=True)
class LoadOutcome:
    """What came of loading a panel.

    Attributes:
        report: Everything that was found.
        report_url: Where the report lies.
    """

    report: PanelReport
    report_url: str


@dataclass(frozen=True)
class _Content:
    """The rows of the file, what was counted in them and on the way to them, and what was put right."""

    rows: PanelRows
    reading: Reading
    seen: Examination
    repairs: Sequence[Repair]


@dataclass(frozen=True)
class _Loading:
    """One file on its way: how it is judged, what is known of it, where it can be read, who is told of each batch."""

    settings: Settings
    found: FoundPanel
    source: FileFacts
    path: Path
    strict: bool
    advance: Advance


def load_panel(
    settings: Settings,
    store: Store,
    *,
    source: str | None = None,
    strict: bool = False,
    advance: Advance = lambda _rows, _of: None,
) -> LoadOutcome:
    """Validate a panel, and stage it if it passes.

    Args:
        settings: What it must hold, and where panels lie.
        store: The place that holds raw and validated panels.
        source: A path, an s3:// URL or the name of a file in the raw folder; None = the newest panel there.
        strict: Whether warnings fail it too.
        advance: Is told the rows of each batch that was examined, and of the whole file.

    Raises:
        PanelError: If there is no panel, or it changes while it is loaded.
        StorageError: If the store cannot be reached, read or written.
        GateError: If a row was lost or invented on the way.
    """
    found = find_panel(settings, store, source)
    store.check()
    with found.store.reading(found.key) as path:
        version = version_of(path)
        facts = FileFacts(found.url, path.stat().st_size, sha256(path))
        report, content = _load(_Loading(settings, found, facts, path, strict, advance))
        folder, stem = settings.storage.staged_prefix, found.stem
        if content and content.seen.first and content.seen.last:
            name = PanelName(True, content.seen.first, content.seen.last)
            stem = name.stem
            if report.validation_passed:
                copying = Copying(report.source, version, content.rows, content.seen, bool(content.repairs))
                report = replace(report, staged=stage(copying, store, f"{folder}/{name}"))
        key = f"{folder}/{stem}_report.json"
        with store.writing(key) as written:
            written.write_text(report.as_json(), encoding="utf-8")
    return LoadOutcome(report, store.url(key))


def _load(loading: _Loading) -> tuple[PanelReport, _Content | None]:
    """Return the report, and the rows if the file can be read."""
    settings, findings = loading.settings, list(loading.found.findings)
    report = PanelReport(loading.strict, loading.source, None, Expectation().as_json(), None, [], findings)
    try:
        file = open_panel(settings.panel, loading.path, loading.source.url)
        report = replace(report, source=replace(loading.source, rows=file.rows))
        expected = expectation(settings, loading.found, read_footer(file.plan.metadata))
        report = replace(report, expected=expected.as_json())
        findings += [*judge_columns(file.plan), expectation_is_known(expected)]
        content = _content(loading, file) if file.plan.has_keys else None
    except PanelError as error:
        unread = replace(_READABLE, count=1, message=error.found)
        return replace(report, findings=[unread, *findings]), None
    if content is None:
        lacking = "rows cannot be told apart without server_id and timestamp, so nothing else was judged"
        findings += [judge_types(file.plan, []), not_judged(lacking)]
        return replace(report, findings=[_READABLE, *findings]), None
    counted = Counted(settings.panel.validation, expected, file.plan, content.seen, content.reading)
    findings += [judge_types(file.plan, content.reading.refused), *judge_rows(counted)]
    return replace(report, facts=_facts(counted), repairs=content.repairs, findings=[_READABLE, *findings]), content


def _content(loading: _Loading, file: PanelFile) -> _Content:
    """Return the rows of a file, repaired and counted.

    Raises:
        PanelError: If the file is torn, or has to be repaired and a copy could not keep all of it.
    """
    rows = PanelRows(file)
    reading = Reading(file, advance=lambda batch: loading.advance(batch, file.rows))
    seen = examine(file.plan.known, rows.pieces(reading))
    repairs = [*file.plan.repairs, *reading.repairs]
    if rows.astray:
        repairs.append(Repair("rows_are_sorted", "", file.rows, [rows.astray]))
    if seen.exact:
        repairs.append(Repair("exact_duplicates_are_dropped", "", seen.exact, seen.exact_examples))
    if repairs:
        _require_kept(file)
    return _Content(rows, reading, seen, repairs)


def _require_kept(file: PanelFile) -> None:
    """Refuse a file that has to be repaired if the copy could not keep all of it.

    Raises:
        PanelError: If Parquet has no type of its own for a column.
    """
    for column in file.plan.usable:
        if pa.types.is_duration(column.target):
            raise PanelError(
                f"column {column.source} is {column.found}, which a repaired copy cannot keep",
                remedy="write it as a number, or leave it out",
            )


def _facts(counted: Counted) -> PanelFacts:
    """Return what the panel holds."""
    seen = counted.seen
    metrics = {}
    for metric in seen.metrics:
        share = counted.missing(metric) / metric.rows * PERCENT if metric.rows else None
        low, high = (value if math.isfinite(value) else None for value in (metric.lowest, metric.highest))
        metrics[metric.name] = MetricFacts(metric.count, share, low, high, metric.mean)
    start, end = (day.isoformat() if day else None for day in (seen.first, seen.last))
    return PanelFacts(seen.kept, seen.servers.height, start, end, seen.days, metrics)
