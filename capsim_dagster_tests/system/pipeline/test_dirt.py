"""capsim's own feed, damaged on purpose: what is left of it in the table, and how well the damage was found."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from capsim_dagster.audits.fingerprints import master_fingerprints
from capsim_dagster.errors import CapsimError, GateError
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.pipeline import refine, stages
from capsim_dagster.pipeline.dirt import defect_lists, defects_score, expected_content
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import LineFault, Resource
from capsim_dagster.settings import INJECTED_LINE_FAULTS, load_settings
from capsim_dagster_tests.conftest import CONFIG, MONTHS, SMALL
from capsim_dagster_tests.support.foreign_feed import OTHER_TOOL
from capsim_dagster_tests.support.sabotage import rows_in

DIRTY: Final = {"line_share": 0.1, "truncated_share": 0.5, "dialect_share": 0.5}
BROKEN_FILES: Final = {"seed": 6, "line_share": 0.05, "file_share": 0.1}
"""By this seed January's network has no usable header and March's disk holds another month; February is whole."""
CPU: Final = FeedPiece(202302, Resource.CPU)
Values = Mapping[tuple[str, str, str], tuple[float | None, float | None]]
"""Value and capacity by day, host and resource."""


pytestmark = pytest.mark.usefixtures("_opened_once")


@pytest.fixture(scope="session")
def _fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build inventory, calendar and master once a worker."""
    data_dir = tmp_path_factory.mktemp("fleet") / "data"
    platform = own(data_dir)
    stages.host_inventory(platform)
    stages.time_calendar(platform)
    stages.master_parquet(platform)
    return data_dir


@pytest.fixture
def data_dir(_fleet: Path, tmp_path: Path) -> Path:
    """Return a folder with a fleet and without a feed."""
    shutil.copytree(_fleet, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="session")
def refined_dirt(_fleet: Path, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Return a platform with a dirty feed that is loaded; no test changes it."""
    data_dir = tmp_path_factory.mktemp("dirt") / "data"
    shutil.copytree(_fleet, data_dir)
    platform = dirty(data_dir)
    load(platform)
    return platform


def own(data_dir: Path, config: Path = CONFIG, **settings: dict[str, Any]) -> Platform:
    """Return a platform with its own feed that lets four in ten lines be rejected."""
    refinery = {"max_rejected_share": 0.4, **settings.pop("refinery", {})}
    storage = {"local_base_path": data_dir, "lock_timeout_seconds": 0.5}
    return Platform(
        load_settings(config, {"data_generation": SMALL, "storage": storage, "refinery": refinery, **settings})
    )


def dirty(
    data_dir: Path,
    defects: dict[str, Any] | None = None,
    *,
    months: Sequence[int] = MONTHS,
    **refinery: Any,  # noqa: ANN401 any setting
) -> Platform:
    """Return a platform with a dirty feed, of all months or of some."""
    platform = own(data_dir, legacy_feed={"defects": defects or DIRTY}, refinery=refinery)
    list(stages.monthly_csv(platform, months))
    return platform


def load(platform: Platform, *months: int) -> None:
    list(refine.processed_data(platform, months or MONTHS, run="test"))


def master_values(platform: Platform) -> Values:
    """Return what the master says, in the doubles nearest to its two decimals."""
    rows = pl.read_parquet(platform.layout.master, columns=["date", "host_id", "resource", "p95_util", "capacity"])
    return {
        (str(day), host, resource): (None if value is None else round(value, 2), float(capacity))
        for day, host, resource, value, capacity in rows.iter_rows()
    }


def table_values(platform: Platform) -> Values:
    rows = rows_in(platform, "processed_data")
    found = {(f"{ds:%Y-%m-%d}", host, resource): (y, capacity) for ds, host, resource, y, _, capacity in rows}
    assert len(found) == len(rows)
    return found


def damaged_keys(platform: Platform, delimiter: str = ",") -> set[tuple[str, str, str]]:
    """Return day as written, host and resource of the lines that were damaged, by their originals."""
    return {
        (*original.replace('"', "").split(delimiter)[:2], piece.resource.value)
        for piece, listed in defect_lists(platform).items()
        for original in listed.frame["original"].drop_nulls()
    }


def in_months(values: Values, *months: int) -> Values:
    return {key: value for key, value in values.items() if int(key[0][:4] + key[0][5:7]) in months}


def undamaged_values(platform: Platform) -> Values:
    damaged = damaged_keys(platform)
    return {key: value for key, value in master_values(platform).items() if key not in damaged}


def differences(found: Values, expected: Values) -> Sequence[object]:
    """Return the first few of what two contents do not share."""
    keys = sorted(found.keys() | expected.keys())
    return [(key, found.get(key), expected.get(key)) for key in keys if found.get(key) != expected.get(key)][:5]


def test_every_undamaged_line_is_in_the_table_as_in_the_master_and_no_other_is(refined_dirt: Platform) -> None:
    assert len(damaged_keys(refined_dirt)) > 200
    assert differences(table_values(refined_dirt), undamaged_values(refined_dirt)) == []


def test_every_injected_defect_is_found_by_kind_and_nothing_else_is(refined_dirt: Platform) -> None:
    report = defects_score(refined_dirt)

    assert report.passed
    assert (report.counts["recall"], report.counts["precision"]) == (1.0, 1.0)
    assert {row["kind"] for row in report.table if row["level"] == "line"} == set(LineFault)
    assert [row for row in report.table if (row["recall"], row["precision"]) != (1.0, 1.0)] == []
    listed = sum(listed.frame.height for listed in defect_lists(refined_dirt).values())
    assert report.counts["injected"] == report.counts["found"] == listed
    assert report.note == ""


def test_expected_content_is_the_master_but_for_the_damaged_lines(refined_dirt: Platform) -> None:
    platform = refined_dirt
    whole, content = master_fingerprints(platform.layout.master), expected_content(platform, MONTHS)

    damaged = damaged_keys(platform)
    for (month, resource), fingerprint in content.items():
        lost = [key for key in damaged if key[2] == resource and key[0].replace("-", "").startswith(str(month))]
        assert whole[month, resource].rows - fingerprint.rows == len(lost)


def test_months_that_are_not_asked_for_are_expected_whole(refined_dirt: Platform) -> None:
    platform = refined_dirt
    whole, content = master_fingerprints(platform.layout.master), expected_content(platform, [202302])

    assert {month for (month, resource), found in content.items() if found != whole[month, resource]} == {202302}


def test_lists_can_be_asked_for_by_month(refined_dirt: Platform) -> None:
    platform = refined_dirt

    assert {piece.month for piece in defect_lists(platform, [202302])} == {202302}
    assert {piece.month for piece in defect_lists(platform)} == set(MONTHS)


def test_list_of_a_file_that_was_replaced_by_hand_is_not_believed(data_dir: Path) -> None:
    platform = dirty(data_dir, {"line_share": 0.1}, months=[202302])
    path = platform.contract.path(CPU)
    assert CPU in defect_lists(platform)
    path.write_bytes(path.read_bytes() + b"\n")

    assert CPU not in defect_lists(platform)
    assert (
        expected_content(platform, MONTHS)[202302, "cpu"] == master_fingerprints(platform.layout.master)[202302, "cpu"]
    )
    with pytest.raises(GateError, match=r"cpu_utilization_202302\.csv: it differs from the master"):
        load(platform, 202302)


def test_list_of_a_file_that_has_a_twin_or_is_gone_is_not_believed(data_dir: Path) -> None:
    platform = dirty(data_dir, {"line_share": 0.1}, months=[202302])
    plain, compressed = platform.contract.candidates(CPU)
    assert CPU in defect_lists(platform)
    compressed.write_bytes(b"")
    assert CPU not in defect_lists(platform)
    compressed.unlink()
    assert CPU in defect_lists(platform)
    plain.unlink()
    assert CPU not in defect_lists(platform)


def test_feed_written_again_without_dirt_is_whole_again_and_has_no_lists(data_dir: Path) -> None:
    months = MONTHS[:2]
    load(dirty(data_dir, months=months), *months)
    clean = own(data_dir)
    list(stages.monthly_csv(clean, months))
    load(clean, *months)

    assert differences(table_values(clean), in_months(master_values(clean), *months)) == []
    assert rows_in(clean, "rejected_lines") == []
    assert defect_lists(clean) == {}
    assert expected_content(clean, MONTHS) == master_fingerprints(clean.layout.master)
    assert defects_score(clean).passed
    assert "no defect was injected" in defects_score(clean).note


def test_months_with_damaged_files_are_refused_the_others_load_and_the_score_counts_both(data_dir: Path) -> None:
    platform = dirty(data_dir, BROKEN_FILES)

    with pytest.raises(CapsimError, match="2 months cannot be loaded") as caught:
        load(platform)

    assert "net_throughput_202301.csv: the header is" in caught.value.found
    assert "storage_usage_202303.csv: " in caught.value.found
    undamaged = undamaged_values(platform)
    assert differences(table_values(platform), in_months(undamaged, 202302)) == []
    report = defects_score(platform)
    assert report.passed
    found = {row["kind"]: row["found"] for row in report.table if row["level"] == "file"}
    assert found == {"no_usable_header": 1, "another_month": 1}
    # Of the months that were refused, three sound files each were never read to the end.
    assert report.note == "6 damaged files are of months that were not loaded, and are not judged"


def test_sound_files_of_a_partial_month_are_loaded_and_judged_and_a_fault_that_nobody_found_is_missed(
    data_dir: Path,
) -> None:
    platform = dirty(data_dir, BROKEN_FILES, allow_partial=True)
    load(platform)

    report = defects_score(platform)

    assert report.passed
    assert report.note == ""
    undamaged = undamaged_values(platform)
    broken = {("2023-01", "network"), ("2023-03", "disk")}
    sound = {k: v for k, v in undamaged.items() if (k[0][:7], k[2]) not in broken}
    assert differences(table_values(platform), sound) == []

    # A fault that nobody found is missed.
    with platform.writing() as connection:
        connection.execute("DELETE FROM refused_files WHERE resource = 'network'")
        connection.execute("DELETE FROM rejected_lines WHERE reason = 'not_finite'")

    missed = defects_score(platform)

    assert not missed.passed
    assert missed.counts["missed"] >= 1
    assert all("not_finite is missed" in problem for problem in missed.examples)
    assert "1 damaged files are of months that were not loaded" in missed.note


def test_policy_that_guesses_between_conflicting_lines_is_refused_as_unlike_the_master(data_dir: Path) -> None:
    weights = {kind.value: int(kind == LineFault.CONFLICTING_DUPLICATE) for kind in INJECTED_LINE_FAULTS}
    only = {"line_share": 0.05, "line_faults": weights}
    for policy in ("first", "last"):
        platform = dirty(data_dir, only, months=MONTHS[:1], conflicting_duplicates=policy)

        with pytest.raises(GateError, match=r"it differs from the master: .* rows instead of .*conflicting_duplicate"):
            load(platform, MONTHS[0])

        assert rows_in(platform, "processed_data") == []


def test_cut_off_line_that_is_let_in_is_refused_as_unlike_the_master(data_dir: Path) -> None:
    """By this seed one last line is cut within its capacity: it can be read, but says less memory than there is."""
    cut = {"truncated_share": 1, "seed": 1}
    platform = dirty(data_dir, cut, months=MONTHS[2:], unterminated_last_line="accept")

    with pytest.raises(GateError, match=r"memory_stats_202303\.csv: .* master: 372 rows instead of 371"):
        load(platform, MONTHS[2])


def test_own_feed_in_the_layout_of_another_tool_loads_as_well(data_dir: Path) -> None:
    """Other names, labels, delimiter, decimal comma and dates, and two resources without capacity."""
    platform, months = own(data_dir, OTHER_TOOL, legacy_feed={"defects": DIRTY}), MONTHS[:1]
    list(stages.monthly_csv(platform, months))
    load(platform, *months)

    damaged = {(f"{d[6:]}-{d[3:5]}-{d[:2]}", host, r) for d, host, r in damaged_keys(platform, ";")}
    assert damaged
    expected = {
        key: (value, None if key[2] == "disk" else capacity)
        for key, (value, capacity) in in_months(master_values(platform), *months).items()
        if key not in damaged and key[2] != "network"
    }
    assert differences(table_values(platform), expected) == []
    problems = defects_score(platform).examples
    assert [problem for problem in problems if "decimal_comma" not in problem] == []


@pytest.mark.parametrize(
    "feed",
    [
        {"date_formats": ["%b %d, %Y"]},
        {"date_formats": ["%Y-%m-%dT%H:%M:%SZ"]},
        {"decimal_signs": [","], "delimiters": [","]},
        {"null_values": ["NaN"]},
        {"null_values": ["0", "-"], "delimiters": ["|"]},
    ],
    ids=lambda feed: "+".join(feed),
)
def test_own_feed_is_read_as_it_is_written_whatever_the_formats(data_dir: Path, feed: dict[str, Any]) -> None:
    platform = own(data_dir, legacy_feed={**feed, "defects": {"line_share": 0.1, "truncated_share": 0.5}})
    list(stages.monthly_csv(platform, MONTHS[:1]))
    load(platform, MONTHS[0])

    originals = sum(listed.frame["original"].drop_nulls().len() for listed in defect_lists(platform).values())
    found, master = table_values(platform), in_months(master_values(platform), MONTHS[0])
    assert len(found) == len(master) - originals
    assert differences(found, {key: master[key] for key in found}) == []
