"""`server_metrics`: the fleet's panel as one Parquet file in a store, with its summary and a sample beside it."""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from capsim_dagster.audits.claims import sentence, told
from capsim_dagster.audits.report import Reports
from capsim_dagster.errors import GateError
from capsim_dagster.panel.build import PanelBatches, panel_pieces
from capsim_dagster.panel.contract import FOOTER_KEY, PanelName, plain_columns
from capsim_dagster.panel.quality import MetricSummary, PanelScan
from capsim_dagster.settings import DataGeneration, Panel
from capsim_dagster.simulated.grid import Advance
from capsim_dagster.simulation.fleet import fleet_of
from capsim_dagster.simulation.telemetry import fleet_hash
from capsim_dagster.storage import Store, fill_parquet, sha256

_DECIMALS: Final = 4
"""Of the numbers in the summary."""


@dataclass(frozen=True)
class GeneratedPanel:
    """A panel that was saved, where, and the gates that it passed; an empty `sample_url` = none was asked for."""

    url: str
    summary_url: str
    sample_url: str
    rows: int
    bytes: int
    sha256: str
    facts: Mapping[str, Any]
    metrics: Mapping[str, MetricSummary]
    reports: Reports


def panel_facts(generation: DataGeneration, panel: Panel, *, end: dt.date) -> dict[str, Any]:
    """Return what the footer of a panel says: servers, first and last day, seed, and hashes of what decides values."""
    columns = panel.model_dump(
        mode="json", include={"server_prefix", "server_digits", "metrics", "flags", "inbound_share"}
    )
    canonical = json.dumps([fleet_hash(generation), columns], sort_keys=True, separators=(",", ":"))
    return {
        "servers": generation.num_servers,
        "start": generation.start_date.isoformat(),
        "end": end.isoformat(),
        "seed": generation.random_seed,
        "settings_hash": fleet_hash(generation),
        "panel_hash": hashlib.sha256(canonical.encode()).hexdigest()[:16],
        "version": version("capsim"),
    }


def generate_panel(
    generation: DataGeneration,
    panel: Panel,
    store: Store,
    *,
    prefix: str,
    end: dt.date,
    advance: Advance = lambda _rows: None,
) -> GeneratedPanel:
    """Simulate the fleet up to `end`, inclusive, and save its panel below `prefix`, once every gate has passed.

    Raises:
        GateError: If a gate does not hold; what was there before stays.
        StorageError: If the store cannot be reached or written.
    """
    store.check()
    hosts = fleet_of(generation)
    facts = panel_facts(generation, panel, end=end)
    stem = f"{prefix}/{PanelName(False, generation.start_date, end).stem}"
    scan = PanelScan(generation, panel, hosts, end=end)
    batches = PanelBatches(generation, panel, end=end)
    sample: list[pa.RecordBatch] = []
    schema = batches.schema.with_metadata({FOOTER_KEY: json.dumps(facts, sort_keys=True)})

    def rows() -> Iterator[pa.RecordBatch]:
        for piece in panel_pieces(generation, panel, hosts, end=end):
            scan.add(piece)
            batch = batches.batch(piece)
            if (lacking := panel.samples_count - sum(kept.num_rows for kept in sample)) > 0:
                sample.append(batch.slice(0, lacking))
            yield batch
            advance(batch.num_rows)

    with store.writing(f"{stem}.parquet") as path:
        fill_parquet(path, rows(), schema=schema, plain=plain_columns(panel))
        reports = scan.reports()
        _require(reports, pq.read_metadata(path), scan.rows)
        size, digest = path.stat().st_size, sha256(path)
    made = GeneratedPanel(
        url=store.url(f"{stem}.parquet"),
        summary_url=store.url(f"{stem}_summary.json"),
        sample_url=store.url(f"{stem}_sample.csv") if panel.samples_count else "",
        rows=scan.rows,
        bytes=size,
        sha256=digest,
        facts=facts,
        metrics=scan.summary(),
        reports=reports,
    )
    if made.sample_url:
        with store.writing(f"{stem}_sample.csv") as path:
            pyarrow.csv.write_csv(pa.Table.from_batches(sample, batches.schema), path)
    with store.writing(f"{stem}_summary.json") as path:
        path.write_text(json.dumps(summary(made), indent=2) + "\n", encoding="utf-8")
    return made


def summary(made: GeneratedPanel) -> dict[str, Any]:
    """Return the summary of a panel as it lies beside it."""
    return {
        "file": made.url.rpartition("/")[2],
        "rows": made.rows,
        "bytes": made.bytes,
        "sha256": made.sha256,
        **made.facts,
        "metrics": {name: _rounded(found) for name, found in made.metrics.items()},
        "checks": {
            name: {"passed": report.passed, "claim": sentence("server_metrics", name), "verdict": report.verdict}
            for name, report in made.reports.items()
        },
    }


def _rounded(found: MetricSummary) -> dict[str, float | int | None]:
    """Return the numbers of one metric; null where there is no value."""
    numbers = {
        name: number if isinstance(number, int) else round(number, _DECIMALS) for name, number in asdict(found).items()
    }
    missing = round(100 * found.missing_share, _DECIMALS)
    return {name: number if found.values else None for name, number in numbers.items()} | {
        "values": found.values,
        "missing": found.missing,
        "missing_percent": missing,
    }


def _require(reports: Reports, written: pq.FileMetaData, rows: int) -> None:
    """Stop before publishing if a gate does not hold.

    Raises:
        GateError: If one does not, or the file has not every row.
    """
    problems = [told("server_metrics", report) for report in reports.values() if not report.passed]
    if written.num_rows != rows:
        problems.insert(0, f"the file has {written.num_rows:,} rows, {rows:,} were made")
    if problems:
        raise GateError(
            "the panel is not saved:\n  " + "\n  ".join(problems),
            remedy="change the settings that the message names, or the bounds in panel.quality; what was there before "
            "is untouched",
        )
