"""Running jobs from the command line: in this process, on the instance that the UI shows."""

from collections.abc import Mapping, Sequence
from typing import Final

import dagster as dg

from capsim_dagster.orchestration.dead_runs import process_tag, release_dead_runs
from capsim_dagster.orchestration.partitions import range_tags
from capsim_dagster.orchestration.run_summary import RunSummary, summary_of

_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The summary says what happened; the whole log is in the UI."""


def run_job(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    job: str,
    months: Sequence[int],
    tags: Mapping[str, str] | None = None,
) -> RunSummary:
    """Run a job for some months in this process, as one run.

    Args:
        definitions: What Dagster loads.
        instance: Where the run is recorded.
        job: Name of the job.
        months: Months as YYYYMM; the run covers the range from the first to the last.
        tags: Further tags of the run.
    """
    release_dead_runs(instance)
    result = definitions.resolve_job_def(job).execute_in_process(
        instance=instance,
        tags={**range_tags(months), **process_tag(), **(tags or {})},
        run_config=_QUIET,
        raise_on_error=False,
    )
    return summary_of(result)
