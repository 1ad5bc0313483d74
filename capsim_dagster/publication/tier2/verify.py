"""Verifying a published hour: what its rows must say; the rest is in `dataset.verify`."""

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from capsim_dagster.audits.report import Finding, Findings
from capsim_dagster.errors import MAX_EXAMPLES
from capsim_dagster.publication.dataset.rules import Judgement, Rows, claims_of
from capsim_dagster.publication.dataset.untrusted import row_groups
from capsim_dagster.publication.dataset.verify import claim, counted, verify
from capsim_dagster.publication.hour_files import HOUR_NUMBER
from capsim_dagster.publication.tier2.aggregate import ranked
from capsim_dagster.publication.tier2.columns import KEY, RESOURCES
from capsim_dagster.publication.tier2.manifest import HourManifest, described
from capsim_dagster.publication.tier2.rules import AGGREGATE_RULES
from capsim_dagster.simulation.samples import Int64Array

_UNIQUE, _OF_HOST, _SORTED = "keys_are_unique", "each_host_has_one_row_a_resource", "rows_are_sorted"
_BY_ROW: Final = (_UNIQUE, *claims_of(AGGREGATE_RULES))
ROW_CLAIMS: Final = (*_BY_ROW, _OF_HOST, _SORTED)
"""What is claimed of the rows."""


def hour_folders(day_folder: Path) -> list[Path]:
    """Return the folders of hours in the folder of a day, in order."""
    found = sorted(day_folder.iterdir()) if day_folder.is_dir() else []
    return [path for path in found if path.is_dir() and re.fullmatch(HOUR_NUMBER, path.name)]


def verify_hour(folder: Path) -> Findings:
    """Return everything that can be said of a published hour.

    Args:
        folder: Where data.parquet and manifest.json lie.
    """
    return verify(folder, HourManifest, _judge)


def _judge(file: pq.ParquetFile, manifest: HourManifest) -> tuple[int, list[Finding]]:
    table = pa.concat_tables([file.schema_arrow.empty_table(), *row_groups(file)])
    rows, judgement = Rows(table), Judgement(_BY_ROW, KEY[:2])
    hosts, resources = ranked(table, "host_id"), ranked(table, "resource")
    order = np.lexsort((rows["ts"], resources[1], hosts[1]))
    is_same = [np.diff(key[order]) == 0 for key in (hosts[1], resources[1], rows["ts"])]
    is_repeated = np.zeros(order.size, np.bool_)
    is_repeated[order[1:]] = np.all(is_same, axis=0)
    judgement.add(_UNIQUE, rows, is_repeated)
    judgement.judge(AGGREGATE_RULES, rows, manifest)
    of_hosts = int(np.unique(hosts[1]).size)
    samples = int(rows["samples"].sum(dtype=np.int64))
    is_sorted = np.array_equal(order, np.arange(order.size))
    return table.num_rows, [
        *counted(manifest, described(table), rows=table.num_rows, hosts=of_hosts, samples=samples),
        *judgement.findings(),
        _one_row_a_resource(*hosts, *resources),
        claim(_SORTED, [] if is_sorted else ["rows are not sorted by host and resource"]),
    ]


def _one_row_a_resource(hosts: Any, of_host: Int64Array, resources: Any, of_resource: Int64Array) -> Finding:  # noqa: ANN401
    """Return whether each host has just its rows; names, and the place of each row's among them."""
    kinds = len(RESOURCES) + 1
    known = [RESOURCES.index(name) if name in RESOURCES else len(RESOURCES) for name in resources]
    kind = np.array(known, np.int64)[of_resource]
    counts = np.bincount(of_host * kinds + kind, minlength=hosts.size * kinds).reshape(-1, kinds)
    is_other = counts.any(axis=1) & (counts != [*[1] * len(RESOURCES), 0]).any(axis=1)
    said = [
        f"{hosts[host]}: {', '.join(sorted(resources[of_resource[of_host == host]]))}"
        for host in np.flatnonzero(is_other)[:MAX_EXAMPLES]
    ]
    return claim(_OF_HOST, said, count=int(is_other.sum()))
