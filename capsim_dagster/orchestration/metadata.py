"""What a person sees beside an asset or a check in the UI: tables, counts, paths and schemas from plain reports."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import dagster as dg

from capsim_dagster.audits.report import Finding
from capsim_dagster.errors import MAX_EXAMPLES
from capsim_dagster.legacy_feed.inspect import InspectedFile
from capsim_dagster.orchestration.keys import AUDIT_URL, PICTURES, PICTURES_URL
from capsim_dagster.pipeline.refine import AuditPage
from capsim_dagster.refinery.load import LoadedMonth
from capsim_dagster.schemas import Column
from capsim_dagster.simulated.master import MasterFile
from capsim_dagster.simulated.truth import StoredTruth
from capsim_dagster.storage import StoredFile
from capsim_dagster.text import markdown, visible, visible_lines

Metadata = dict[str, dg.MetadataValue]

_WIDE_LINE: Final = "\xa0 " * 150
"""A line that cannot be seen: Dagster's dialog is as wide as its text, and a picture without a size has no width."""


def column_schema(columns: Iterable[Column]) -> dg.TableSchema:
    """Return columns with types, units and descriptions as the UI shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type.value,
                description=column.text,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in columns
        ]
    )


def table(rows: Sequence[Mapping[str, str | int | float]]) -> dg.MetadataValue:
    """Return rows as a table."""
    shown = [{name: visible(cell) if isinstance(cell, str) else cell for name, cell in row.items()} for row in rows]
    return dg.MetadataValue.table([dg.TableRecord(row) for row in shown])


def text(value: str) -> dg.MetadataValue:
    """Return a text, of others too."""
    return dg.MetadataValue.text(visible_lines(value))


def bullets(values: Iterable[str]) -> dg.MetadataValue:
    """Return texts, of others too, as a list in Markdown."""
    return dg.MetadataValue.md("\n".join(f"- {markdown(value)}" for value in values))


def stored_file(stored: StoredFile) -> Metadata:
    """Return path, size, digest and rows of a file."""
    return {
        "path": dg.MetadataValue.path(stored.path),
        "bytes": dg.MetadataValue.int(stored.bytes),
        "sha256": dg.MetadataValue.text(stored.sha256),
        "dagster/row_count": dg.MetadataValue.int(stored.rows),
    }


def pictures(asset: dg.AssetKey) -> Metadata:
    """Return where the pictures of an asset are served, as the UI shows them: as wide as its dialog and no wider."""
    at = f"{PICTURES_URL}/{asset.to_user_string()}"
    return {
        name: dg.MetadataValue.md(f"{_WIDE_LINE}![{name.replace('_', ' ')}: capsim ui draws it]({at}/{name})")
        for name in PICTURES[asset]
    }


def stored_truth(stored: StoredTruth) -> Metadata:
    """Return path, size, digest and rows of the ground truth; the row count is that of the events."""
    files = (stored.expected, stored.events, stored.series)
    return {
        "dagster/row_count": dg.MetadataValue.int(stored.events.rows),
        "path": dg.MetadataValue.path(stored.events.path.parent),
        "bytes": dg.MetadataValue.int(sum(file.bytes for file in files)),
        "files": table([{"file": f.path.name, "rows": f.rows, "bytes": f.bytes, "sha256": f.sha256} for f in files]),
    }


def footer(path: Path) -> Metadata:
    """Return what the footer of a master file says about its origin."""
    facts = MasterFile(path).footer
    return {
        "first_day": dg.MetadataValue.text(facts.start.isoformat()),
        "last_day": dg.MetadataValue.text(facts.end.isoformat()),
        "hosts": dg.MetadataValue.int(facts.hosts),
        "seed": dg.MetadataValue.int(facts.seed),
        "settings_hash": dg.MetadataValue.text(facts.settings_hash),
    }


def feed_file(file: InspectedFile) -> Metadata:
    """Return path, size, digest and lines of one month's feed file."""
    return {
        "path": dg.MetadataValue.path(file.path),
        "bytes": dg.MetadataValue.int(file.bytes),
        "sha256": dg.MetadataValue.text(file.sha256),
        "dagster/partition_row_count": dg.MetadataValue.int(file.lines),
        "injected_defects": dg.MetadataValue.int(file.defects),
        "file_fault": dg.MetadataValue.text(file.file_fault or "none"),
    }


def loaded_month(month: LoadedMonth) -> Metadata:
    """Return rows, checksum, rejected lines and sources of one month of the table."""
    reasons: Counter[str] = Counter()
    for file in month.files:
        reasons.update(file.reasons)
    facts: Metadata = {
        "dagster/partition_row_count": dg.MetadataValue.int(month.rows),
        "source_bytes": dg.MetadataValue.int(sum(file.bytes for file in month.files)),
        "source_lines": dg.MetadataValue.int(month.lines),
        "rejected_lines": dg.MetadataValue.int(month.rejected),
        "content_checksum": dg.MetadataValue.text(f"{month.checksum:x}"),
        "is_unchanged": dg.MetadataValue.bool(month.is_unchanged),
        "is_partial": dg.MetadataValue.bool(month.is_partial),
    }
    if reasons:
        facts["rejected_by_reason"] = table([{"reason": r, "lines": n} for r, n in reasons.most_common()])
    if month.refused:
        facts["refused_files"] = table(
            [{"file": file.path, "fault": file.fault.value, "found": file.detail} for file in month.refused]
        )
    return facts


def audit_page(page: AuditPage, feed: Path) -> Metadata:
    """Return where the audit page is, of which feed it tells, its verdict and its totals."""
    return {
        # Without a host: browsers block file://, and the UI's port is not known here.
        "page": dg.MetadataValue.url(AUDIT_URL),
        "path": dg.MetadataValue.path(page.path),
        "summary": dg.MetadataValue.md(page.summary),
        "verdict": text(page.verdict),
        "has_problems": dg.MetadataValue.bool(page.has_problems),
        **{name: dg.MetadataValue.int(count) for name, count in page.counts.items()},
        "feed": dg.MetadataValue.path(feed),
        "dagster/row_count": dg.MetadataValue.int(page.counts["rows"]),
    }


def relation(path: Path, name: str) -> Metadata:
    """Return where a table of the warehouse is."""
    return {
        "path": dg.MetadataValue.path(path),
        "dagster/relation_identifier": dg.MetadataValue.text(f"{path.name}/{name}"),
    }


def check_result(
    finding: Finding, spec: dg.AssetCheckSpec, severity: dg.AssetCheckSeverity | None = None
) -> dg.AssetCheckResult:
    """Return a finding as the result of a check; without a severity, what does not block is a warning."""
    by_spec = dg.AssetCheckSeverity.ERROR if spec.blocking else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        passed=finding.passed,
        asset_key=spec.asset_key,
        check_name=spec.name,
        severity=severity or by_spec,
        metadata={"claim": dg.MetadataValue.text(spec.description or ""), **_behind(finding)},
        description=visible_lines(finding.verdict or "holds"),
    )


def _behind(finding: Finding) -> Metadata:
    """Return numbers and examples of a finding; the UI plots the numbers over time."""
    metadata: Metadata = {}
    for name, count in finding.counts.items():
        metadata[name] = dg.MetadataValue.int(count) if isinstance(count, int) else dg.MetadataValue.float(count)
    metadata["problems"] = dg.MetadataValue.int(finding.total)
    if finding.examples:
        metadata["examples"] = bullets(finding.examples[:MAX_EXAMPLES])
    if finding.table:
        metadata["table"] = table(finding.table)
    if finding.threshold:
        metadata["thresholds"] = table([{"threshold": name, "value": bar} for name, bar in finding.threshold.items()])
    if finding.note:
        metadata["note"] = text(finding.note)
    return metadata
