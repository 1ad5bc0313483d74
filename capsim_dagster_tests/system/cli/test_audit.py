"""`capsim audit` writes one page, and its exit code says whether something on it needs attention."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from capsim_dagster.cli import capsim
from capsim_dagster.errors import CapsimError, FeedError, SettingsError, WarehouseError
from capsim_dagster_tests.support.foreign_feed import MONTHS, OTHER_TOOL, file_of, foreign_platform, refined, write_feed
from capsim_dagster_tests.support.sabotage import run_sql

pytestmark = pytest.mark.usefixtures("_opened_once")


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    return write_feed(tmp_path / "exports")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def audit(work: Path, *arguments: str) -> Result:
    return CliRunner().invoke(capsim, ["audit", "--config", str(OTHER_TOOL), "--data-dir", str(work), *arguments])


def test_audit_of_a_whole_feed_ends_with_zero(work: Path, exports: Path) -> None:
    refined(foreign_platform(work, exports))

    result = audit(work)

    assert result.exit_code == 0, result.output
    assert result.output == f"capsim: wrote {work}/audit/refinery.html\n  549 of 549 lines are in the table.\n"
    assert (work / "audit" / "refinery.html").is_file()


def test_audit_of_a_feed_with_refused_files_ends_with_one(work: Path, exports: Path) -> None:
    file_of(exports, 202406).unlink()
    with pytest.raises(FeedError):
        refined(foreign_platform(work, exports))

    result = audit(work)

    assert result.exit_code == 1
    assert (work / "audit" / "refinery.html").is_file()
    assert "549 of 549" not in result.output


def update_values(work: Path, exports: Path) -> None:
    changed = "UPDATE processed_data SET y = y + 1 WHERE host_id = 'db-003' AND resource = 'cpu' AND month(ds) = 6"
    run_sql(foreign_platform(work, exports), changed)


def alter_file(_: Path, exports: Path) -> None:
    path = file_of(exports, 202406)
    path.write_bytes(path.read_bytes() + b"\n")


def delete_file(_: Path, exports: Path) -> None:
    file_of(exports, 202406).unlink()


@pytest.mark.parametrize(
    ("change", "sentence", "on_page"),
    [
        (update_values, "The account does not balance in 1 place: 2024-06 cpu.", "the table holds other values than"),
        (alter_file, "1 of 2 months needs attention.", "its file has changed since it was loaded"),
        (delete_file, "1 of 2 months needs attention.", "its file is gone since it was loaded"),
    ],
)
def test_audit_compares_content_with_what_was_loaded(
    work: Path, exports: Path, change: Callable[[Path, Path], None], sentence: str, on_page: str
) -> None:
    refined(foreign_platform(work, exports))
    change(work, exports)

    result = audit(work)

    assert result.exit_code == 1, result.output
    assert sentence in result.output
    assert on_page in (work / "audit" / "refinery.html").read_text(encoding="utf-8")


def test_audit_says_where_the_feed_is_no_longer_there_and_leaves_the_table_good(work: Path, exports: Path) -> None:
    refined(foreign_platform(work, exports))
    exports.rename(exports.with_name("elsewhere"))

    result = audit(work)

    assert result.exit_code == 0, result.output
    assert "were not compared with the table" in (work / "audit" / "refinery.html").read_text(encoding="utf-8")


def test_audit_writes_where_it_is_told(work: Path, exports: Path, tmp_path: Path) -> None:
    refined(foreign_platform(work, exports), MONTHS)
    path = tmp_path / "deep" / "er" / "page.html"

    result = audit(work, "--output", str(path))

    assert result.exit_code == 0, result.output
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert not (work / "audit").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ([], WarehouseError, "no warehouse at"),
        (["--config", "/nowhere.yaml"], SettingsError, "settings file /nowhere.yaml not found"),
    ],
)
def test_audit_without_a_warehouse_or_settings_is_a_clear_error(
    work: Path, arguments: list[str], error: type[CapsimError], message: str
) -> None:
    result = audit(work, *arguments)

    assert isinstance(result.exception, error)
    assert message in result.exception.found
    assert result.exception.remedy
    assert not work.exists()


def test_audit_that_cannot_write_its_page_says_so(work: Path, exports: Path) -> None:
    refined(foreign_platform(work, exports))

    result = audit(work, "--output", "/dev/null/page.html")

    assert isinstance(result.exception, SettingsError)
    assert "cannot write /dev/null/page.html" in result.exception.found
