"""A removal that is killed: no manifest without its data, and a re-run completes it."""

from itertools import count
from pathlib import Path
from typing import Final

from capsim_dagster.publication.retention import remove
from capsim_dagster_tests.support.child_process import FORK, READY, nursery
from capsim_dagster_tests.support.publication.days import DAY, names_in
from capsim_dagster_tests.unit.publication.test_retention import FORMS, KEEP_TWO, folder, plan_of, put_day, put_hour

REMOVE: Final = f"""
import datetime as dt
from pathlib import Path
from capsim_dagster.publication.retention import expired, remove
from capsim_dagster.settings import Retention
from capsim_dagster.storage import DataLayout
{FORK}
keep = Retention(archive_days=2, tier2_days=2, tier3_days=2)
plan = expired(DataLayout(Path(sys.argv[1])), keep, today=dt.date(2026, 3, 1))
steps = int(sys.argv[2])
unlink, rmdir = Path.unlink, Path.rmdir
def counted(step):
    def taken(path, *arguments, **options):
        global steps
        if not steps:
            {READY.strip().replace(chr(10), "; ")}
        steps -= 1
        step(path, *arguments, **options)
    return taken
Path.unlink, Path.rmdir = counted(unlink), counted(rmdir)
remove(plan)
print("ready", flush=True)
"""


def test_a_removal_that_is_killed_before_any_step_leaves_no_manifest_without_data_and_a_re_run_completes_it(
    tmp_path: Path,
) -> None:
    seen: set[str] = set()
    with nursery(REMOVE) as removing:
        for steps in count():
            put_day(tmp_path, "archive", DAY)
            folders = [put_hour(tmp_path, 3), put_hour(tmp_path, 4), put_day(tmp_path, "tier3", DAY)]
            (folders[-1] / "manifest.json").write_bytes(b"four")
            with removing.child(tmp_path, steps) as child:
                child.until_ready()
            seen |= {" ".join(names_in(path)) for path in folders if path.exists()}
            left = [name for name in FORMS if folder(tmp_path, name, DAY).exists()]
            assert remove(plan_of(tmp_path, KEEP_TWO)) == []
            assert not any(folder(tmp_path, name, DAY).exists() for name in FORMS)
            if not left:
                break

    # With a file and a folder to remove a dataset and hour, at the very least.
    assert steps >= 10
    assert seen == {"data.parquet manifest.json", "data.parquet", ""}
