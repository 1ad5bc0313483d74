"""`capsim run` where nothing has changed makes nothing again; whatever has changed it sees and makes whole."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result

from capsim_dagster.cli import capsim
from capsim_dagster.cli.unchanged import run_that_holds
from capsim_dagster.orchestration.instance import open_instance
from capsim_dagster.orchestration.keys import MASTER_PARQUET
from capsim_dagster.pipeline.ledger import rotted
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.settings import Settings, directory_settings
from capsim_dagster_tests.support.foreign_feed import OTHER_TOOL, write_feed
from capsim_dagster_tests.support.sabotage import files_under

OPTIONS = ["--hosts", "10", "--start", "2024-01-01", "--end", "2024-02-29"]
LEDGER = "capsim_ledger.json"
MASTER = "master/master_daily.parquet"
FEED = "legacy/2024/01/cpu_utilization_202401.csv"
Damage = Callable[[Path], object]


def capsim_(*arguments: str) -> Result:
    return CliRunner().invoke(capsim, arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory that a run has filled."""
    folder = tmp_path_factory.mktemp("made") / "data"
    result = capsim_("run", *OPTIONS, "--data-dir", str(folder))
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def data_dir(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


def holds(data_dir: Path) -> bool:
    return run_that_holds(Platform(settings_of(data_dir))) is not None


def artifacts(data_dir: Path) -> dict[str, bytes]:
    return {name: content for name, content in files_under(data_dir).items() if not name.startswith(".dagster")}


def flip(name: str, *, keeps_time: bool = False) -> Damage:
    """Return a damage that changes one bit in the middle of a file."""

    def damage(data_dir: Path) -> None:
        path = data_dir / name
        before, content = path.stat(), bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        if keeps_time:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return damage


def change_a_row(data_dir: Path) -> None:
    with duckdb.connect(str(data_dir / "warehouse" / "capsim.duckdb")) as connection:
        connection.execute("UPDATE processed_data SET y = y + 1 WHERE host_id = 'srv-000001' AND day(ds) = 3")


def wipe_in_the_ui(data_dir: Path) -> None:
    with open_instance(Platform(settings_of(data_dir)).layout) as instance:
        instance.wipe_assets([MASTER_PARQUET])


def settings_of(data_dir: Path) -> Settings:
    return directory_settings(overrides={"storage": {"local_base_path": data_dir}}).settings


DAMAGES: dict[str, Damage] = {
    "master, a bit": flip(MASTER),
    "master, a bit, its time put back": flip(MASTER, keeps_time=True),
    "truth, gone": lambda data_dir: (data_dir / "truth" / "events.parquet").unlink(),
    "feed, a line more": lambda data_dir: (data_dir / FEED).write_text((data_dir / FEED).read_text() + "x\n"),
    "feed, a file more": lambda data_dir: (data_dir / "legacy" / "2024" / "01" / "copy.csv").write_text("x"),
    "feed, a file renamed": lambda data_dir: (data_dir / FEED).rename(data_dir / FEED.replace("cpu", "gpu")),
    "table, a row": change_a_row,
    "warehouse, a log beside it": lambda data_dir: (data_dir / "warehouse" / "capsim.duckdb.wal").write_bytes(b"x"),
    "warehouse, truncated": lambda data_dir: os.truncate(data_dir / "warehouse" / "capsim.duckdb", 100_000),
    "history, gone": lambda data_dir: shutil.rmtree(data_dir / ".dagster"),
    "history, an asset wiped": wipe_in_the_ui,
    "ledger, gone": lambda data_dir: (data_dir / LEDGER).unlink(),
    "ledger, half of it": lambda data_dir: os.truncate(data_dir / LEDGER, 1_000),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_whatever_has_changed_is_seen(data_dir: Path, damage: Damage) -> None:
    damage(data_dir)

    assert not holds(data_dir)


def test_another_setting_is_seen(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert holds(data_dir)
    monkeypatch.setenv("CAPSIM__REFINERY__MAX_REJECTED_SHARE", "0.02")

    assert not holds(data_dir)


def test_a_run_where_nothing_has_changed_makes_nothing_and_is_recorded(data_dir: Path) -> None:
    before = artifacts(data_dir)

    again = capsim_("run", "--data-dir", str(data_dir))

    assert again.exit_code == 0, again.output
    assert "nothing has changed since that run" in again.output
    assert "checks passed; all gates hold" in again.output
    assert artifacts(data_dir) == before
    with open_instance(Platform(settings_of(data_dir)).layout) as instance:
        latest, first = instance.get_runs()
        assert (latest.job_name, latest.is_success) == ("full_refresh", True)
        seen = instance.fetch_observations(MASTER_PARQUET, limit=10).records
        assert [record.run_id for record in seen] == [latest.run_id]
        made = instance.fetch_materializations(MASTER_PARQUET, limit=10).records
        assert [record.run_id for record in made] == [first.run_id]
    assert holds(data_dir)
    status = capsim_("status", "--data-dir", str(data_dir))
    assert status.exit_code == 0, status.output


def test_what_was_damaged_is_made_again_as_it_was(data_dir: Path) -> None:
    before = artifacts(data_dir)
    flip(MASTER)(data_dir)
    (data_dir / FEED).unlink()

    repaired = capsim_("run", "--data-dir", str(data_dir))

    assert repaired.exit_code == 0, repaired.output
    assert "nothing has changed" not in repaired.output
    same = {name for name in before if not name.startswith(("warehouse", "audit", "capsim_ledger"))}
    assert {name: content for name, content in artifacts(data_dir).items() if name in same} == {
        name: before[name] for name in same
    }
    assert holds(data_dir)


def test_another_audit_page_alone_is_no_change(data_dir: Path) -> None:
    assert capsim_("audit", "--data-dir", str(data_dir)).exit_code == 0
    page = data_dir / "audit" / "refinery.html"
    page.write_text("torn", encoding="utf-8")

    assert not holds(data_dir) or "torn" not in page.read_text(encoding="utf-8")


def test_bytes_that_a_disk_changed_are_found_by_reading_all_of_them(data_dir: Path) -> None:
    good = capsim_("audit", "--deep", "--data-dir", str(data_dir))
    assert (good.exit_code, "all as it was" in good.output) == (0, True), good.output
    flip("truth/series.parquet")(data_dir)

    found = capsim_("audit", "--deep", "--data-dir", str(data_dir))

    assert found.exit_code == 1
    assert "truth/series.parquet has other bytes" in found.output
    assert "1 file differs" in found.output


def test_refining_unchanged_files_reads_none_and_says_so(data_dir: Path) -> None:
    before = artifacts(data_dir)

    again = capsim_("refine", "--data-dir", str(data_dir))

    assert again.exit_code == 0, again.output
    assert "nothing has changed since" in again.output
    assert re.search(r"2024-02\s+│\s+1,160\s+│\s+1,160\s+│\s+0\s+│\s+unchanged", again.output)
    same = {name: content for name, content in artifacts(data_dir).items() if not name.endswith("ledger.json")}
    assert same == {name: content for name, content in before.items() if not name.endswith("ledger.json")}
    assert holds(data_dir)


def test_of_a_users_feed_too_a_file_that_has_changed_is_read(tmp_path: Path) -> None:
    feed, options = tmp_path / "feed", ["--data-dir", str(tmp_path / "data")]
    write_feed(feed)
    options += ["--feed", str(feed), "--config", str(OTHER_TOOL)]
    assert capsim_("refine", *options).exit_code == 0

    unchanged = capsim_("refine", *options)
    (path, *_) = sorted(path for path in feed.rglob("*") if path.is_file())
    os.utime(path, ns=(1, 1))
    touched = capsim_("refine", *options)
    path.write_bytes(path.read_bytes() + b"\n")
    changed = capsim_("refine", *options)

    assert [result.exit_code for result in (unchanged, touched, changed)] == [0, 0, 0], changed.output
    told = ["nothing has changed since" in result.output for result in (unchanged, touched, changed)]
    assert told == [True, True, False]


def test_the_audit_of_a_schedule_finds_them_too(data_dir: Path) -> None:
    flip(MASTER)(data_dir)
    platform, path = Platform(settings_of(data_dir)), data_dir / LEDGER
    found = (data_dir / MASTER).stat()
    ledger = json.loads(path.read_text(encoding="utf-8"))
    # As a disk does it, which knows of no time.
    changed = max(found.st_mtime_ns, found.st_ctime_ns)
    ledger["files"][MASTER][:3] = found.st_ino, found.st_size, changed
    ledger["written_ns"] = changed + 10**9
    path.write_text(json.dumps(ledger), encoding="utf-8")
    assert holds(data_dir)

    (data_dir / "master").rename(data_dir / "kept")
    assert rotted(platform) == []
    (data_dir / "kept").rename(data_dir / "master")
    assert rotted(platform) == [
        f"{MASTER} has other bytes than it was written with, though nobody has written it since"
    ]
