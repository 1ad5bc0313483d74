"""The assets of the server-metrics panel: made as a view of the master, then validated as any panel is."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from capsim_dagster.audits.report import Finding, Severity, by_claim
from capsim_dagster.errors import PanelError
from capsim_dagster.orchestration import metadata
from capsim_dagster.orchestration.gates import require_gates
from capsim_dagster.orchestration.keys import MASTER_PARQUET, OWNERS, SERVER_METRICS, VALIDATED_SERVER_METRICS, specs_of
from capsim_dagster.orchestration.partitioned import Made
from capsim_dagster.orchestration.progress import Progress, clear_failure
from capsim_dagster.panel.contract import columns
from capsim_dagster.panel.generate import GeneratedPanel
from capsim_dagster.panel.judge import PanelReport
from capsim_dagster.panel.load import LoadOutcome
from capsim_dagster.pipeline import panel as stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.settings import Panel
from capsim_dagster.simulation.telemetry import MODEL_VERSION
from capsim_dagster.text import visible


def build_panel_assets(panel: Panel) -> list[dg.AssetsDefinition]:
    """Return the assets of the panel."""
    return [server_metrics(panel), validated_server_metrics(panel)]


def _asset(panel: Panel, **own: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:  # noqa: ANN401 Dagster's options
    decorator: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(
        group_name="panel",
        owners=OWNERS,
        tags={"cadence": "on_demand"},
        kinds={"parquet"},
        code_version=MODEL_VERSION,
        metadata={"dagster/column_schema": metadata.column_schema(columns(panel))},
        **own,
    )
    return decorator


def server_metrics(panel: Panel) -> dg.AssetsDefinition:
    """Return the asset `server_metrics`."""

    @_asset(panel, deps=[MASTER_PARQUET])
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

    @_asset(panel, deps=[SERVER_METRICS], check_specs=specs_of(VALIDATED_SERVER_METRICS), output_required=False)
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
    assert report.staged is not None  # noqa: S101 a panel that passed is staged
    assert report.facts is not None  # noqa: S101 and could be read
    repairs = [f"{' '.join(filter(None, (each.name, each.column)))}: {each.count:,}" for each in report.repairs]
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
        "repairs": metadata.bullets(repairs or ["none"]),
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


def refusal(report: PanelReport, report_url: str) -> PanelError:
    """Return why a panel that failed is not staged."""
    problems = "; ".join(f"{finding.claim}: {finding.message}" for finding in report.failed)
    return PanelError(
        f"{report.source.url} does not pass its validation: {problems}",
        remedy=f"see {report_url}; the validated panel of before is untouched",
    )
