"""`capsim refine`: what it loads, prints and ends with, and how it says what is wrong."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from capsim_dagster.cli import capsim
from capsim_dagster.errors import CapsimError, FeedError, SettingsError, WarehouseError
from capsim_dagster.pipeline import stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.settings import RECORD_NAME, load_settings
from capsim_dagster_tests.conftest import CONFIG, ROOT, small_settings
from capsim_dagster_tests.conftest import MONTHS as OWN_MONTHS
from capsim_dagster_tests.support.foreign_feed import (
    LINES,
    OTHER_TOOL,
    expected_rows,
    file_of,
    foreign_platform,
    write_feed,
)
from capsim_dagster_tests.support.sabotage import change_lines, rows_in, run_sql

ALL = sum(LINES.values())
Refine = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("_opened_once")


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    return write_feed(tmp_path / "exports")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture
def refine(exports: Path, work: Path) -> Refine:
    """Return a function that runs `capsim refine` on the other tool's feed with further arguments."""

    def run(*arguments: str) -> Result:
        options = ["--feed", str(exports), "--config", str(OTHER_TOOL), "--data-dir", str(work)]
        return CliRunner().invoke(capsim, ["refine", *options, *arguments])

    return run


@dataclass(frozen=True)
class Loaded:
    """What one command has said and left, which no test changes."""

    result: Result
    exports: Path
    work: Path


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Return the first `capsim refine` of a whole feed, into a directory that a terminal might take for markup."""
    folder = tmp_path_factory.mktemp("first")
    exports, work = write_feed(folder / "exports"), folder / "work:x:"
    options = ["--feed", str(exports), "--config", str(OTHER_TOOL), "--data-dir", str(work)]
    return Loaded(CliRunner().invoke(capsim, ["refine", *options]), exports, work)


@pytest.fixture
def feed(first: Loaded, tmp_path: Path) -> Path:
    """Return a copy of the feed that was loaded."""
    return Path(shutil.copytree(first.exports, tmp_path / "feed"))


@pytest.fixture
def again(first: Loaded, feed: Path, tmp_path: Path) -> Refine:
    """Return a function that runs `capsim refine` once more in a copy of that directory."""
    work = shutil.copytree(first.work, tmp_path / "work")

    def run(*arguments: str) -> Result:
        options = ["--feed", str(feed), "--config", str(OTHER_TOOL), "--data-dir", str(work)]
        return CliRunner().invoke(capsim, ["refine", *options, *arguments])

    return run


def words(result: Result) -> str:
    """Return the output without the frames of tables."""
    return re.sub(r"[\u2500-\u257f\s]+", " ", result.output)


def spoil(path: Path, count: int) -> None:
    """Make the first lines of a file unreadable."""
    change_lines(
        path, lambda lines: [line.replace(";FRA", "") if 0 < i <= count else line for i, line in enumerate(lines)]
    )


def stored(work: Path, exports: Path, table: str) -> list[tuple[object, ...]]:
    return rows_in(foreign_platform(work, exports), table)


def test_refine_loads_the_feed_and_accounts_for_every_line(first: Loaded) -> None:
    result = first.result

    assert result.exit_code == 0, result.output
    assert "2024-05 279 279 0 loaded 2024-06 270 270 0 loaded" in words(result)
    assert (
        f"2 of 2 months: {ALL} lines = {ALL} loaded + 0 rejected, in {first.work}/warehouse/capsim.duckdb"
        in result.output
    )
    assert "reason" not in result.output
    assert "layout" not in result.output
    assert stored(first.work, first.exports, "processed_data") == expected_rows()


def test_refine_again_says_that_nothing_changed(again: Refine) -> None:
    result = again()

    assert result.exit_code == 0
    assert "2024-05 279 279 0 unchanged 2024-06 270 270 0 unchanged" in words(result)


def test_refine_counts_rejected_lines_by_reason(refine: Refine, exports: Path) -> None:
    spoil(file_of(exports, 202406), 2)
    change_lines(file_of(exports, 202405), lambda lines: [*lines, lines[-1]])

    result = refine()

    assert result.exit_code == 0, result.output
    assert "2024-05 280 279 1 loaded 2024-06 270 268 2 loaded" in words(result)
    assert "Rejected lines reason lines field_count 2 exact_duplicate 1" in words(result)
    assert "550 lines = 547 loaded + 3 rejected" in result.output


def test_refine_ends_with_one_when_a_month_is_refused_and_loads_the_others(
    refine: Refine, exports: Path, work: Path
) -> None:
    spoil(file_of(exports, 202406), 9)

    result = refine()

    assert result.exit_code == 1
    assert "2024-06 refused: keeps its previous rows" in words(result)
    assert "2024-06/CPU.csv: 9 of 90 lines are rejected (field_count 9); a month may have 1.000%" in words(result)
    assert "--allow-partial" in result.output
    assert "1 of 2 months: 279 lines = 279 loaded + 0 rejected" in result.output
    assert stored(work, exports, "processed_data") == expected_rows([202405])


@pytest.mark.parametrize(
    ("arguments", "state"), [(["--allow-partial"], "partial"), (["--max-rejected-share", "0.04"], "loaded")]
)
def test_refine_loads_a_dirty_month_where_it_is_told_to(
    refine: Refine, exports: Path, arguments: list[str], state: str
) -> None:
    spoil(file_of(exports, 202406), 9)

    result = refine(*arguments)

    assert result.exit_code == 0, result.output
    assert f"2024-06 270 261 9 {state}" in words(result)


def test_refine_loads_the_months_that_are_named_once_each(refine: Refine, exports: Path, work: Path) -> None:
    result = refine("--month", "2024-06", "--month", "2024-06")

    assert result.exit_code == 0, result.output
    assert "1 of 1 month: 270 lines" in result.output
    assert stored(work, exports, "processed_data") == expected_rows([202406])


def test_refine_rejects_hosts_that_the_inventory_does_not_hold(refine: Refine, tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.csv"
    inventory.write_text("node_name,site\nweb-017,FRA\ndb-003,FRA\n")

    result = refine("--inventory", str(inventory), "--max-rejected-share", "0.5")

    assert result.exit_code == 0, result.output
    assert "unknown_host 183" in words(result)
    assert "549 lines = 366 loaded + 183 rejected" in result.output


def test_refine_names_files_that_are_not_in_the_layout_spelled_out_and_a_few_of_many(again: Refine, feed: Path) -> None:
    (feed / "a [red] copy.csv").touch()
    one = again()
    for name in (b"a caf\xe9.csv", b"\x1b[2J:x:[red].csv", b"a\nerror: b.csv", *(b"z%d.csv" % i for i in range(3))):
        (feed / os.fsdecode(name)).touch()

    many = again()

    assert (one.exit_code, many.exit_code) == (0, 0)
    assert "1 file is not in the layout, and not read: a [red] copy.csv" in words(one)
    assert "7 files are not in the layout, and not read: " in words(many)
    assert all(name in many.output for name in (r"a caf\udce9.csv", r"\x1b[2J:x:[red].csv", r"a\nerror: b.csv"))
    assert "z0.csv" in many.output
    assert "z1.csv" not in many.output
    assert "and 2 more" in words(many)


def test_refine_names_months_that_are_no_longer_in_the_feed_and_ends_with_zero(
    refine: Refine, exports: Path, work: Path
) -> None:
    write_feed(exports, [202404])
    assert refine().exit_code == 0
    for month in (202404, 202405):
        shutil.rmtree(file_of(exports, month).parent)

    result = refine()

    assert result.exit_code == 0, result.output
    assert "no longer in the feed, and kept as loaded: 2024-04 to 2024-05" in result.output
    assert "6 files no longer in the feed" in (work / "audit/refinery.html").read_text(encoding="utf-8")
    assert refine("--month", "2024-05").exit_code == 1


def test_refine_writes_the_audit_page_and_says_where(first: Loaded) -> None:
    page = first.work / "audit" / "refinery.html"
    assert f"audit page: {page}\n  549 of 549 lines are in the table." in first.result.output
    assert str(first.exports) in page.read_text(encoding="utf-8")


def test_refine_prints_paths_as_they_are(first: Loaded) -> None:
    assert first.work.name == "work:x:"
    assert f"in {first.work}/warehouse/capsim.duckdb" in first.result.output
    assert f"audit page: {first.work}/audit/refinery.html" in first.result.output


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--feed", "/nowhere"], FeedError, "no folder /nowhere"),
        (["--feed", "/nowhere", "--month", "2024-06"], FeedError, "no folder /nowhere"),
        (["--inventory", "/nowhere.csv"], FeedError, "the inventory /nowhere.csv cannot be read"),
        (["--config", "/nowhere.yaml"], SettingsError, "settings file /nowhere.yaml not found"),
        (["--max-rejected-share", "2"], SettingsError, "refinery.max_rejected_share: found 2.0"),
        (["--config", str(CONFIG)], FeedError, "none of the 6 files under"),
    ],
)
def test_refine_refuses_what_it_cannot_read_before_anything_is_written(
    refine: Refine, work: Path, arguments: list[str], error: type[CapsimError], message: str
) -> None:
    result = refine(*arguments)

    assert isinstance(result.exception, error)
    assert message in result.exception.found
    assert result.exception.remedy
    assert not work.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--month", "2024-13"], "found '2024-13'; expected a date that exists, as YYYY-MM"),
        (["--feed", str(CONFIG)], "is a file"),
        (["--inventory", str(CONFIG.parent)], "is a directory"),
        (["--score"], "--score compares with the defects in capsim's own feed"),
        (["--max-rejected-share", "few"], "is not a valid float"),
    ],
)
def test_refine_refuses_arguments_that_cannot_be_used(
    refine: Refine, work: Path, arguments: list[str], message: str
) -> None:
    result = refine(*arguments)

    assert result.exit_code == 2
    assert message in words(result)
    assert not work.exists()


def test_refine_refuses_a_second_feed_in_the_same_folder(again: Refine, first: Loaded, tmp_path: Path) -> None:
    result = again("--feed", str(write_feed(tmp_path / "other", [202407])))

    assert isinstance(result.exception, WarehouseError)
    assert f"holds the feed of {first.exports}" in result.exception.found


# The score of capsim's own dirty feed.


@pytest.fixture(scope="module")
def dirty_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return settings of the small fleet with a dirty feed, and of a refinery that lets four in ten lines go."""
    path = tmp_path_factory.mktemp("dirty") / "dirty.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "base": str(CONFIG),
                "data_generation": {"num_servers": 12, "end_date": "2023-03-31"},
                "legacy_feed": {"defects": {"line_share": 0.1, "truncated_share": 0.5, "dialect_share": 0.5}},
                "refinery": {"max_rejected_share": 0.4},
            }
        )
    )
    return path


def score(data_dir: Path, config: Path) -> Result:
    options = ["--score", "--config", str(config), "--data-dir", str(data_dir)]
    return CliRunner().invoke(capsim, ["refine", *options])


@pytest.fixture(scope="module")
def scored(_built_data: Path, dirty_config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """Return a directory with a dirty feed, which no test changes, and what was said when it was first scored."""
    data_dir = Path(shutil.copytree(_built_data, tmp_path_factory.mktemp("scored") / "data"))
    storage = {"local_base_path": data_dir}
    list(stages.monthly_csv(Platform(load_settings(dirty_config, {"storage": storage})), OWN_MONTHS))
    (data_dir / RECORD_NAME).unlink()
    return data_dir, score(data_dir, dirty_config)


def test_refine_scores_capsims_own_dirty_feed(scored: tuple[Path, Result]) -> None:
    _, result = scored

    assert result.exit_code == 0, result.output
    assert "Score level kind injected found missed false_alarms recall precision line truncated_line" in words(result)
    assert re.search(r"line conflicting_duplicate (\d+) \1 0 0 100 % 100 %", words(result).replace("\xa0", " "))
    assert "every injected defect is found, and nothing else is: holds" in words(result)


def test_refine_ends_with_one_when_a_defect_is_missed(
    scored: tuple[Path, Result], dirty_config: Path, tmp_path: Path
) -> None:
    data_dir = Path(shutil.copytree(scored[0], tmp_path / "data"))
    assert scored[1].exit_code == 0
    run_sql(
        Platform(small_settings(data_dir)),
        "UPDATE rejected_lines SET line = line + 1000 WHERE reason = 'not_finite'",
    )

    result = score(data_dir, dirty_config)

    assert result.exit_code == 1
    assert "does not hold" in words(result)
    assert "not_finite is missed" in words(result)


def test_refine_scores_a_clean_feed_as_clean(platform: Platform, dirty_config: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(dirty_config.read_text())
    del content["legacy_feed"]
    (tmp_path / "clean.yaml").write_text(yaml.safe_dump(content))

    result = score(platform.layout.root, tmp_path / "clean.yaml")

    assert result.exit_code == 0, result.output
    assert "no defect was injected, and none is found" in words(result)


# Whole processes.


def run_capsim(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "capsim_dagster.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


def test_a_wrong_path_is_one_clear_message_without_a_traceback(tmp_path: Path) -> None:
    finished = run_capsim("refine", "--feed", "/nowhere", "--data-dir", str(tmp_path / "work"))

    assert finished.returncode == 1
    assert finished.stderr.startswith("error: no folder /nowhere\n  -> ")
    assert finished.stderr.count("\n") == 2
    assert finished.stdout == ""
    assert not (tmp_path / "work").exists()
