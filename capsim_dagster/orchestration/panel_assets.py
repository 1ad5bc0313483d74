"""The assets of the server-metrics panel: made as a view of the master, then validated as any panel is."""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg

from capsim_dagster.audits.report import Finding, Severity, by_claim
from capsim_dagster.errors import PanelError
from capsim_dagster.orchestration import metadata
from capsim_dagster.orchestration.check_specs import specs_of
from capsim_dagster.orchestration.failures import clear_failure
from capsim_dagster.orchestration.gates import require_gates
from capsim_dagster.orchestration.keys import MASTER_PARQUET, OWNERS, SERVER_METRICS, VALIDATED_SERVER_METRICS
from capsim_dagster.orchestration.partitioned import Made
from capsim_dagster.orchestration.progress import Progress
from capsim_dagster.panel.contract import columns
from capsim_dagster.panel.generate import GeneratedPanel
from capsim_dagster.panel.judge import PanelReport
from capsim_dagster.panel.load import LoadOutcome
from capsim_dagster.panel.retype import Repair
from capsim_dagster.pipeline import panel as stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.settings import Panel
from capsim_dagster.simulation.telemetry import MODEL_VERSION
from capsim_dagster.text import visible

_TAGS: Final = {"cadence": "on_demand"}
_GROUP: Final = "panel"


def build_panel_assets(panel: Panel) -> list[dg.AssetsDefinition]:
    """Return the assets of the panel.

    Args:
        panel: Which columns it has.
    """
    return [server_metrics(panel), validated_server_metrics(panel)]


def server_metrics(panel: Panel) -> dg.AssetsDefinition:
    """Return the asset `server_metrics`."""

    @dg.asset(
        group_name=_GROUP,
        owners=OWNERS,
        tags=_TAGS,
        kinds={"parquet"},
        deps=[MASTER_PARQUET],
        code_version=MODEL_VERSION,
        metadata={"dagster/column_schema": metadata.column_schema(columns(panel))},
    )
    def server_metrics(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform], progress: dg.ResourceParam[Progress]
    ) -> dg.MaterializeResult[None]:
        """The master as one wide Parquet file: a row a server a day, a column a metric; local or in a bucket."""
        with clear_failure():
            require_gates(context.instance, [MASTER_PARQUET])
            rows = stages.panel_rows(platform)
            with progress.stage(context, name="server_metrics", total=rows, unit="rows") as advance:
                made = stages.server_metrics(platform, advance=advance)
        return dg.MaterializeResult(data_version=dg.DataVersion(made.sha256), metadata=_generated(made))

    return server_metrics


def validated_server_metrics(panel: Panel) -> dg.AssetsDefinition:
    """Return the asset `validated_server_metrics`."""

    @dg.asset(
        group_name=_GROUP,
        owners=OWNERS,
        tags=_TAGS,
        kinds={"parquet"},
        deps=[SERVER_METRICS],
        code_version=MODEL_VERSION,
        check_specs=specs_of(VALIDATED_SERVER_METRICS),
        output_required=False,
        metadata={"dagster/column_schema": metadata.column_schema(columns(panel))},
    )
    def validated_server_metrics(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform], progress: dg.ResourceParam[Progress]
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
        """The panel, repaired where that is safe and validated; a JSON report with every finding lies beside it.

        A panel that fails leaves the validated one of before in place.
        """
        with clear_failure():
            require_gates(context.instance, [SERVER_METRICS])
            rows = stages.panel_rows(platform)
            with progress.stage(context, name="validated_server_metrics", total=rows, unit="rows") as advance:
                outcome = stages.validated_server_metrics(platform, advance=advance)
        yield from panel_results(outcome.report)
        if not outcome.report.validation_passed:
            with clear_failure():
                raise refusal(outcome.report, outcome.report_url)
        made = loaded_panel(outcome)
        yield dg.MaterializeResult(data_version=dg.DataVersion(made.version), metadata=made.facts)

    return validated_server_metrics


def made_panel(platform: Platform, made: GeneratedPanel) -> Made:
    """Return what is recorded of a panel: of its checks those that could be judged, parity where there is a master."""
    return Made(_generated(made), made.sha256, made.reports | stages.parity_with_master(platform))


def loaded_panel(outcome: LoadOutcome) -> Made:
    """Return what is recorded of a panel that passed, but for its checks, which one that failed has too."""
    assert outcome.report.staged is not None  # noqa: S101 a panel that passed is staged
    return Made(_validated(outcome.report, outcome.report_url), outcome.report.staged.sha256, {})


def _generated(made: GeneratedPanel) -> dict[str, Any]:
    """Return where a panel lies, its size and digest, and what its values look like."""
    return {
        "path": dg.MetadataValue.path(made.url),
        "summary": dg.MetadataValue.path(made.summary_url),
        "dagster/row_count": made.rows,
        "bytes": made.bytes,
        "sha256": made.sha256,
        "servers": made.facts["servers"],
        "first_day": made.facts["start"],
        "last_day": made.facts["end"],
        "metrics": metadata.table(
            [
                {
                    "metric": name,
                    "mean": round(found.mean, 2),
                    "std": round(found.std, 2),
                    "min": found.low,
                    "p95": found.p95,
                    "max": found.high,
                    "missing_percent": round(100 * found.missing_share, 3),
                }
                for name, found in made.metrics.items()
            ]
        ),
    }


def _validated(report: PanelReport, report_url: str) -> dict[str, Any]:
    """Return where a validated panel lies, what was repaired in it, and what it holds."""
    assert report.staged is not None  # noqa: S101 a panel that passed is staged
    assert report.facts is not None  # noqa: S101 and could be read
    return {
        "path": dg.MetadataValue.path(report.staged.url),
        "report": dg.MetadataValue.path(report_url),
        "source": dg.MetadataValue.path(visible(report.source.url)),
        "dagster/row_count": report.staged.rows,
        "bytes": report.staged.bytes,
        "sha256": report.staged.sha256,
        "servers": report.facts.servers,
        "first_day": report.facts.start,
        "last_day": report.facts.end,
        "repairs": metadata.bullets(list(map(_repair, report.repairs)) or ["none"]),
    }


def panel_results(report: PanelReport) -> Iterator[dg.AssetCheckResult]:
    """Yield each finding as the result of its check; one that could not be judged has failed."""
    found = by_claim(*report.findings)
    for spec in specs_of(VALIDATED_SERVER_METRICS):
        unread = Finding(spec.name, message="not judged: the panel could not be read so far", judged=False)
        finding = found.get(spec.name, unread)
        is_error = finding.severity is Severity.ERROR
        yield metadata.check_result(
            finding, spec, dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN
        )


def _repair(repair: Repair) -> str:
    """Return what was put right, in which column if it was in one, and how often."""
    return f"{' '.join(filter(None, (repair.name, repair.column)))}: {repair.count:,}"


def refusal(report: PanelReport, report_url: str) -> PanelError:
    """Return why a panel that failed is not staged."""
    problems = "; ".join(f"{finding.claim}: {finding.message}" for finding in report.failed)
    return PanelError(
        f"{report.source.url} does not pass its validation: {problems}",
        remedy=f"see {report_url}; the validated panel of before is untouched",
    )
