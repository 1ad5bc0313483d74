"""`validated_server_metrics`: a panel is found, repaired where that is safe, judged, and staged if it passes.

Whatever the verdict, a report says what was found; a panel that fails leaves the validated one of before in place.
"""

import datetime as dt
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from capsim_dagster.audits.finding import Finding, Severity
from capsim_dagster.errors import PanelError
from capsim_dagster.panel.contract import PanelName
from capsim_dagster.panel.examine import Examination, examine
from capsim_dagster.panel.expect import Expectation, expectation, read_footer
from capsim_dagster.panel.find import FoundPanel, find_panel
from capsim_dagster.panel.findings import PERCENT, MetricFacts, PanelFacts, PanelReport, Repair, SourceFacts
from capsim_dagster.panel.judge import (
    Counted,
    expectation_is_known,
    judge_columns,
    judge_rows,
    judge_types,
    missing_values,
    not_judged,
)
from capsim_dagster.panel.read import DealtRows, PanelFile, Reading, RowsAstray, in_order, open_panel
from capsim_dagster.panel.stage import Copying, Version, stage, version_of
from capsim_dagster.settings import Settings
from capsim_dagster.storage import Store, sha256

Advance = Callable[[int, int], None]
"""Is told the rows of each batch that was examined, and the rows of the whole file."""
_EPOCH: Final = dt.date(1970, 1, 1)
_READABLE: Final = Finding("file_is_readable", Severity.ERROR, passed=True)


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
    """The rows of the file.

    Attributes:
        file: The file.
        pieces: Yields its rows, repaired, by whole servers in the order of their keys.
        seen: What was counted in them.
        reading: What was counted on the way to them.
        repairs: What was put right.
    """

    file: PanelFile
    pieces: Callable[[], Iterator[pl.DataFrame]]
    seen: Examination
    reading: Reading
    repairs: Sequence[Repair]


@dataclass(frozen=True)
class _Loading:
    """One file on its way.

    Attributes:
        settings: The settings.
        store: Where report and validated copy go.
        found: Which file it is.
        source: What is known of it.
        path: Where it can be read.
        version: Which version of it is read.
        strict: Whether warnings fail it.
        advance: Is told of each batch.
    """

    settings: Settings
    store: Store
    found: FoundPanel
    source: SourceFacts
    path: Path
    version: Version
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
        facts = SourceFacts(found.url, path.stat().st_size, sha256(path), None)
        loading = _Loading(settings, store, found, facts, path, version, strict, advance)
        return _publish(loading, *_load(loading))


def _load(loading: _Loading) -> tuple[PanelReport, _Content | None]:
    """Return the report, and the rows if the file can be read."""
    findings = list(loading.found.findings)
    source = loading.source
    expected = Expectation()
    try:
        file = open_panel(loading.settings.panel, loading.path, source.url)
        source = replace(source, rows=file.rows)
        expected = expectation(loading.settings, loading.found, read_footer(file.plan.metadata))
        findings += [*judge_columns(file.plan), expectation_is_known(expected)]
        content = _content(loading, file) if file.plan.has_keys else None
    except PanelError as error:
        unread = replace(_READABLE, passed=False, count=1, message=error.found)
        return _report(loading, source, expected, None, [unread, *findings]), None
    if content is None:
        lacking = "rows cannot be told apart without server_id and timestamp, so nothing else was judged"
        findings += [judge_types(file.plan, []), not_judged(lacking)]
        return _report(loading, source, expected, None, [_READABLE, *findings]), None
    reading = content.reading
    counted = Counted(
        loading.settings.panel.validation, expected, file.plan, content.seen, reading.nulls, reading.refused
    )
    findings += [judge_types(file.plan, reading.refused), *judge_rows(counted)]
    return _report(loading, source, expected, (content, _facts(counted)), [_READABLE, *findings]), content


def _content(loading: _Loading, file: PanelFile) -> _Content:
    """Return the rows of a file, repaired and counted.

    Raises:
        PanelError: If the file is torn.
    """
    reached = _progress(loading.advance, file.rows)
    by_order = []
    try:
        reading = Reading(file, reached)
        pieces: Callable[[], Iterator[pl.DataFrame]] = lambda: in_order(Reading(file))  # noqa: E731 as is below
        seen = examine(file.plan.known, in_order(reading))
    except RowsAstray as astray:
        by_order.append(Repair("rows_are_sorted", "", file.rows, [str(astray)]))
        reading, dealt = Reading(file, reached), DealtRows(file)
        pieces = dealt.pieces
        seen = examine(file.plan.known, dealt.pieces(reading))
    if seen.exact:
        by_order.append(Repair("exact_duplicates_are_dropped", "", seen.exact, seen.exact_examples))
    repairs = [*reading.repairs, *by_order]
    if repairs:
        _require_kept(file)
    return _Content(file, pieces, seen, reading, repairs)


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


def _progress(advance: Advance, of: int) -> Callable[[int], None]:
    """Return what is told how many rows were read so far, by a reading that may begin anew."""
    told = 0

    def reached(rows: int) -> None:
        nonlocal told
        if rows > told:
            advance(rows - told, of)
            told = rows

    return reached


def _report(
    loading: _Loading,
    source: SourceFacts,
    expected: Expectation,
    content: tuple[_Content, PanelFacts] | None,
    findings: Sequence[Finding],
) -> PanelReport:
    repairs, facts = (content[0].repairs, content[1]) if content else ([], None)
    return PanelReport(loading.strict, source, None, expected.as_json(), facts, repairs, findings)


def _facts(counted: Counted) -> PanelFacts:
    """Return what the panel holds."""
    seen = counted.seen
    metrics = {}
    for metric in seen.metrics:
        share = missing_values(counted, metric) / metric.rows * PERCENT if metric.rows else None
        low, high = (value if math.isfinite(value) else None for value in (metric.lowest, metric.highest))
        metrics[metric.name] = MetricFacts(metric.count, share, low, high, metric.mean)
    window = _window(seen)
    start, end = (day.isoformat() for day in window) if window else (None, None)
    return PanelFacts(seen.kept, seen.servers.height, start, end, seen.days, metrics)


def _window(seen: Examination) -> tuple[dt.date, dt.date] | None:
    """Return the first and last day of the rows, None if there is no row."""
    if seen.first is None or seen.last is None:
        return None
    return _EPOCH + dt.timedelta(seen.first), _EPOCH + dt.timedelta(seen.last)


def _publish(loading: _Loading, report: PanelReport, content: _Content | None) -> LoadOutcome:
    """Write the validated copy if the panel passed, and then the report."""
    window = _window(content.seen) if content else None
    folder = loading.settings.storage.staged_prefix
    name = PanelName(True, *window) if window else None
    if report.validation_passed and content and name:
        copying = Copying(
            source=report.source,
            path=loading.path,
            version=loading.version,
            file=content.file,
            pieces=content.pieces,
            is_repaired=bool(content.repairs),
            kept=content.seen.kept,
            exact=content.seen.exact,
        )
        report = replace(report, staged=stage(copying, loading.store, f"{folder}/{name}"))
    key = f"{folder}/{name.stem if name else loading.found.stem}_report.json"
    with loading.store.writing(key) as path:
        path.write_text(report.as_json(), encoding="utf-8")
    return LoadOutcome(report, loading.store.url(key))
