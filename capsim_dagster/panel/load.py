"""`validated_server_metrics`: a panel is found, repaired where that is safe, judged, and staged if it passes.

Whatever the verdict, a report says what was found; a panel that fails leaves the validated one of before in place. The
validated copy has the bytes of the source where nothing had to be repaired, else its repaired rows: the same rows make
the same bytes, in whatever order and pieces they came.
"""

import math
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from capsim_dagster.audits.report import Finding, Severity
from capsim_dagster.errors import GateError, PanelError
from capsim_dagster.panel.contract import PanelName
from capsim_dagster.panel.examine import examine, without_exact
from capsim_dagster.panel.find import Expectation, FoundPanel, expectation, find_panel, read_footer
from capsim_dagster.panel.judge import (
    PERCENT,
    Counted,
    FileFacts,
    PanelFacts,
    PanelReport,
    expectation_is_known,
    judge_columns,
    judge_rows,
    judge_types,
    not_judged,
)
from capsim_dagster.panel.plan import FilePlan
from capsim_dagster.panel.read import PanelFile, PanelRows, Reading, open_panel
from capsim_dagster.panel.retype import Repair
from capsim_dagster.settings import Settings
from capsim_dagster.storage import Store, fill_parquet, sha256

Advance = Callable[[int, int], None]
"""Is told the rows of each batch that was examined, and the rows of the whole file."""
Version = tuple[int, int, int]
"""Tells whether a file is still the one that it was: inode, size, time of change."""
_READABLE: Final = Finding("file_is_readable", Severity.ERROR)
_ROW_GROUP_ROWS: Final = 1 << 17
"""Rows of a group in a repaired copy: about ninety servers over four years."""
_PANDAS: Final = b"pandas"


@dataclass(frozen=True)
class LoadOutcome:
    """What came of loading a panel: everything that was found, and where the report lies."""

    report: PanelReport
    report_url: str


def load_panel(
    settings: Settings,
    store: Store,
    *,
    source: str | None = None,
    strict: bool = False,
    advance: Advance = lambda _rows, _of: None,
) -> LoadOutcome:
    """Validate a panel that `find_panel` finds, and stage it if it passes; `strict` = warnings fail it too.

    Raises:
        PanelError: If there is no panel, or it changes while it is loaded.
        StorageError: If the store cannot be reached, read or written.
        GateError: If a row was lost or invented on the way.
    """
    found = find_panel(settings, store, source)
    store.check()
    with found.store.reading(found.key) as path:
        version = _version_of(path)
        facts = FileFacts(found.url, path.stat().st_size, sha256(path))
        report = PanelReport(strict, facts, None, Expectation().as_json(), None, [], list(found.findings))
        report, counted = _load(settings, found, path, report, advance)
        folder, stem = settings.storage.staged_prefix, found.stem
        if counted and counted.seen.first and counted.seen.last:
            name = PanelName(True, counted.seen.first, counted.seen.last)
            stem = name.stem
            if report.validation_passed:
                report = replace(report, staged=_stage(report, counted, version, store, f"{folder}/{name}"))
        key = f"{folder}/{stem}_report.json"
        with store.writing(key) as written:
            written.write_text(report.as_json(), encoding="utf-8")
    return LoadOutcome(report, store.url(key))


def _load(
    settings: Settings, found: FoundPanel, path: Path, report: PanelReport, advance: Advance
) -> tuple[PanelReport, Counted | None]:
    """Return the report, and what was counted if the rows can be told apart."""
    findings = [*report.findings]
    try:
        file = open_panel(settings.panel, path, report.source.url)
        report = replace(report, source=replace(report.source, rows=file.rows))
        expected = expectation(settings, found, read_footer(file.plan.metadata))
        report = replace(report, expected=expected.as_json())
        findings += [*judge_columns(file.plan), expectation_is_known(expected)]
        counted = _counted(settings, file, expected, advance) if file.plan.has_keys else None
    except PanelError as error:
        unread = replace(_READABLE, count=1, message=error.found)
        return replace(report, findings=[unread, *findings]), None
    if counted is None:
        lacking = "rows cannot be told apart without server_id and timestamp, so nothing else was judged"
        findings += [judge_types(file.plan, []), not_judged(lacking)]
        return replace(report, findings=[_READABLE, *findings]), None
    findings += [judge_types(file.plan, counted.reading.refused), *judge_rows(counted)]
    facts, repairs = _facts(counted), counted.repairs
    return replace(report, facts=facts, repairs=repairs, findings=[_READABLE, *findings]), counted


def _counted(settings: Settings, file: PanelFile, expected: Expectation, advance: Advance) -> Counted:
    """Return what the rows of a file hold, once repaired.

    Raises:
        PanelError: If the file is torn, or has to be repaired and a copy could not keep all of it.
    """
    rows = PanelRows(file)
    reading = Reading(file, advance=lambda batch: advance(batch, file.rows))
    seen = examine(file.plan.known, rows.pieces(reading))
    repairs = [*file.plan.repairs, *reading.repairs]
    if rows.astray:
        repairs.append(Repair("rows_are_sorted", "", file.rows, [rows.astray]))
    if seen.exact:
        repairs.append(Repair("exact_duplicates_are_dropped", "", seen.exact, seen.exact_examples))
    if repairs:
        _require_kept(file)
    return Counted(settings.panel.validation, expected, rows, reading, seen, repairs)


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
        found = {"count": metric.count, "missing_pct": share, "min": low, "max": high, "mean": metric.mean}
        metrics[metric.name] = found
    start, end = (day.isoformat() if day else None for day in (seen.first, seen.last))
    return PanelFacts(seen.kept, seen.servers.height, start, end, seen.days, metrics)


def _version_of(path: Path) -> Version:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _stage(report: PanelReport, counted: Counted, version: Version, store: Store, key: str) -> FileFacts:
    """Write the validated copy, once its rows are accounted for.

    Raises:
        GateError: If a row was lost or invented; what was there before stays.
        PanelError: If the source changed since it was examined.
        StorageError: If the store cannot be written.
    """
    file = counted.rows.file
    with store.writing(key) as path:
        if counted.repairs:
            schema = _schema(file.plan)
            rows = fill_parquet(path, _batches(_repaired(counted), schema), schema=schema)
            digest = sha256(path)
        else:
            shutil.copyfile(file.path, path)
            rows, digest = file.rows, report.source.sha256
        if _version_of(file.path) != version:
            raise PanelError(
                f"{file.url} changed while it was loaded",
                remedy="load it again once nobody writes it; the validated panel of before is untouched",
            )
        _require_all(counted, rows)
        size = path.stat().st_size
    return FileFacts(store.url(key), size, digest, rows)


def _require_all(counted: Counted, rows: int) -> None:
    file, seen = counted.rows.file, counted.seen
    if not rows == seen.kept == file.rows - seen.exact:
        raise GateError(
            f"{file.rows:,} rows of {file.url} are not {rows:,} validated rows, of which {seen.kept:,} were examined, "
            f"+ {seen.exact:,} exact duplicates",
            remedy="this is a defect of capsim: report it; the validated panel of before is untouched",
        )


def _schema(plan: FilePlan) -> pa.Schema:
    """Return the columns with what the footer of the source says."""
    metadata = {name: text for name, text in plan.metadata.items() if name != _PANDAS and _is_utf8(text)}
    return plan.schema.with_metadata(metadata)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _repaired(counted: Counted) -> Iterator[pl.DataFrame]:
    return (without_exact(piece)[0] for piece in counted.rows.pieces())


def _batches(pieces: Iterable[pl.DataFrame], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows of pieces in batches of one size, as they are written."""
    held: list[pl.DataFrame] = []
    rows = 0
    for piece in pieces:
        held.append(piece)
        rows += piece.height
        while rows >= _ROW_GROUP_ROWS:
            whole = pl.concat(held)
            yield _batch(whole.head(_ROW_GROUP_ROWS), schema)
            held = [whole.slice(_ROW_GROUP_ROWS)]
            rows -= _ROW_GROUP_ROWS
    if rows:
        yield _batch(pl.concat(held), schema)


def _batch(frame: pl.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    (batch,) = frame.to_arrow().select(schema.names).cast(schema).combine_chunks().to_batches()
    return batch
