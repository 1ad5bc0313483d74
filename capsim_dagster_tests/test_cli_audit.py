"""`capsim audit` writes one page, and its exit code says whether something on it needs attention."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from capsim_dagster.cli import capsim
from capsim_dagster.errors import CapsimError, FeedError, SettingsError, WarehouseError
from capsim_dagster_tests.foreign_feed import MONTHS, OTHER_TOOL, file_of, foreign_platform, refined, write_feed


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
