"""Retention: which days go, what keeps one from going and what is left alone."""

import datetime as dt
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from capsim_dagster.errors import CapsimError
from capsim_dagster.publication.dataset.export import Exported
from capsim_dagster.publication.dataset.folder import sole_writer
from capsim_dagster.publication.retention import RetentionPlan, expired, remove
from capsim_dagster.publication.tier3.export import export_day
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.settings import Retention
from capsim_dagster.storage import DataLayout
from capsim_dagster.storage.locks import held
from capsim_dagster_tests.support.publication.days import (
    DAY,
    TODAY,
    change_hour,
    files_in,
    hour_file,
    names_in,
    site,
    write_hour,
)

Keep = Mapping[str, int | None]
"""Days by setting."""

LATER: Final = dt.date(2026, 3, 1)
"""Long after the day."""
KEEP_TWO: Final[Keep] = {"archive_days": 2, "tier2_days": 2, "tier3_days": 2}
FORMS: Final = {
    "archive": "archive/%Y%m%d",
    "tier2": "output/tier2_hourly/%Y-%m-%d",
    "tier3": "output/tier3_daily/%Y-%m-%d",
}
NAMES: Final = {"archive": "07.jsonl.gz", "tier2": "07/data.parquet", "tier3": "data.parquet"}


def plan_of(root: Path, keep: Keep, *, today: dt.date = LATER, unpublished: bool = False) -> RetentionPlan:
    retention = Retention.model_validate({"archive_days": None, "tier2_days": None, "tier3_days": None, **keep})
    return expired(DataLayout(root), retention, today=today, unpublished=unpublished)


@pytest.fixture
def published(published: Path) -> Path:
    """Return the folder of the day where the data directory has it."""
    there = published.parent / "tier3_daily" / published.name
    there.parent.mkdir()
    return published.rename(there)


def export(root: Path, *, allow_incomplete: bool = False) -> Exported[DayManifest]:
    there = replace(site(root), output_root=root / "output" / "tier3_daily")
    return export_day(there, DAY, today=TODAY, allow_incomplete=allow_incomplete)


def reasons(plan: RetentionPlan) -> list[CapsimError]:
    return [each.reason for dataset in plan.datasets for each in dataset.left]


def folder(root: Path, dataset: str, day: dt.date) -> Path:
    return root / f"{day:{FORMS[dataset]}}"


def put_day(root: Path, dataset: str, day: dt.date) -> Path:
    """Make a folder of a day with one file of four bytes; return it."""
    path = folder(root, dataset, day) / NAMES[dataset]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"four")
    return folder(root, dataset, day)


def put_hour(root: Path, hour: int, day: dt.date = DAY) -> Path:
    """Make an hour of tier 2 with a file and a manifest; return its folder."""
    path = folder(root, "tier2", day) / f"{hour:02d}"
    path.mkdir(parents=True)
    for name in ("data.parquet", "manifest.json"):
        (path / name).write_bytes(b"four")
    return path


@given(
    offsets=st.sets(st.integers(-40, 40), max_size=8),
    keep=st.one_of(st.none(), st.integers(2, 30), st.just(10**9)),
    dataset=st.sampled_from(sorted(FORMS)),
    today=st.dates(dt.date(1999, 12, 1), dt.date(2199, 12, 31)),
)
@examples(max_examples=40)
def test_today_and_the_days_before_it_that_are_kept_stay_and_so_do_days_to_come_and_all_others_go(
    offsets: set[int], keep: int | None, dataset: str, today: dt.date
) -> None:
    days = {today + dt.timedelta(days=offset) for offset in offsets}
    within = {today - dt.timedelta(days=back) for back in range(min(keep or 100, 100))}
    with tempfile.TemporaryDirectory() as name:
        folders = {day: put_day(Path(name), dataset, day) for day in days}
        plan = plan_of(Path(name), {f"{dataset}_days": keep}, today=today, unpublished=True)
        left = remove(plan)

        assert not left
        assert {day for day in days if folders[day].exists()} == {day for day in days if day > today or day in within}


@pytest.mark.parametrize("dataset", sorted(FORMS))
def test_each_setting_acts_on_its_dataset_alone(dataset: str, tmp_path: Path) -> None:
    folders = {name: put_day(tmp_path, name, DAY) for name in FORMS}
    plan = plan_of(tmp_path, {f"{dataset}_days": 2}, unpublished=True)
    remove(plan)

    assert [day.path for day in plan.expired] == [folders[dataset]]
    assert [name for name, path in folders.items() if not path.exists()] == [dataset]


def test_without_a_limit_nothing_is_removed_and_it_is_known(tmp_path: Path) -> None:
    for name in FORMS:
        put_day(tmp_path, name, dt.date(1999, 1, 1))
    plan = plan_of(tmp_path, {})

    assert (plan.has_limit, plan_of(tmp_path, {"tier2_days": 9}).has_limit) == (False, True)
    assert [len(dataset.kept) for dataset in plan.datasets] == [1, 1, 1]
    assert (plan.expired, remove(plan)) == ([], [])


def test_planning_counts_files_and_bytes_and_changes_nothing(root: Path, published: Path) -> None:
    put_hour(root, 3)
    before = files_in(root)
    plan = plan_of(root, KEEP_TWO)
    archive, tier2, tier3 = plan.expired

    assert files_in(root) == before
    assert (len(archive.files), archive.bytes) == (24, sum(path.stat().st_size for path in archive.path.iterdir()))
    assert (tier2.files, tier2.bytes) == (["03/data.parquet", "03/manifest.json"], 8)
    assert (tier3.files, tier3.path) == (["data.parquet", "manifest.json"], published)


def test_a_file_that_goes_while_a_folder_is_looked_at_is_left_out_and_all_others_are_seen(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    @contextmanager
    def slow(path: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        with scandir(path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
            hour_file(root, 3).unlink(missing_ok=True)
            yield iter(entries)

    monkeypatch.setattr(os, "scandir", slow)
    plan = plan_of(root, {})

    assert plan.datasets[0].kept[0].files == [f"{hour:02d}.jsonl.gz" for hour in range(24) if hour != 3]


@pytest.mark.usefixtures("published")
def test_removal_leaves_the_folders_of_the_datasets_and_a_second_one_finds_nothing(root: Path) -> None:
    put_hour(root, 3)
    put_hour(root, 4)
    told: list[int] = []
    assert remove(plan_of(root, KEEP_TWO), told.append) == []

    assert sorted(files_in(root)) == ["archive", "output", "output/tier2_hourly", "output/tier3_daily"]
    assert told == [24, 4, 2]
    assert plan_of(root, KEEP_TWO).expired == []


@pytest.mark.parametrize(
    "name", ["notes", "2026011", "20260115 ", "2026-01-15", "20260230", "00000101", "٢٠٢٦٠١١٥", "20260115.bak"]
)
def test_a_folder_whose_name_is_no_day_is_none_of_ours(name: str, tmp_path: Path) -> None:
    (tmp_path / "archive" / name).mkdir(parents=True)
    (tmp_path / "archive" / name / "07.jsonl.gz").write_bytes(b"four")
    (tmp_path / "archive" / "20260116").write_bytes(b"a file")
    plan = plan_of(tmp_path, KEEP_TWO, unpublished=True)

    assert (plan.expired, reasons(plan)) == ([], [])


STRANGERS: Final[dict[str, tuple[str, str]]] = {
    "a file beside hour files": ("archive", "notes.txt"),
    "an hour that no day has": ("archive", "24.jsonl.gz"),
    "a folder in the archive": ("archive", "07/data.parquet"),
    "a copy": ("tier3", "data.parquet.bak"),
    "an hour in tier 3": ("tier3", "07/data.parquet"),
    "data of a day in tier 2": ("tier2", "data.parquet"),
    "a file of an hour": ("tier2", "07/notes.txt"),
    "a folder in an hour": ("tier2", "07/08/data.parquet"),
    "a hidden file": ("tier3", ".data.parquet.swp"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_folder_with_something_that_is_not_ours_is_left_alone_and_reported(name: str, tmp_path: Path) -> None:
    dataset, stranger = STRANGERS[name]
    path = put_day(tmp_path, dataset, DAY) / stranger
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"mine")
    before = files_in(tmp_path)
    plan = plan_of(tmp_path, KEEP_TWO, unpublished=True)

    assert remove(plan) == []
    assert files_in(tmp_path) == before
    assert "holds what capsim does not write: " in reasons(plan)[0].found


def test_a_stranger_that_comes_after_the_plan_is_left_alone_too(root: Path, published: Path) -> None:
    plan = plan_of(root, {"tier3_days": 2})
    (published / "notes.txt").write_text("mine")
    left = remove(plan)

    assert names_in(published) == ["data.parquet", "manifest.json", "notes.txt"]
    assert "holds what capsim does not write: notes.txt" in left[0].reason.found


@pytest.mark.parametrize("link", ["archive", "archive/20260115", "archive/20260115/07.jsonl.gz"])
def test_nothing_is_removed_behind_a_link(link: str, root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "there"
    (root / link).rename(elsewhere)
    (root / link).symlink_to(elsewhere)
    plan = plan_of(root, {"archive_days": 2}, unpublished=True)
    remove(plan)

    assert len(reasons(plan)) == 1
    assert len(list((root / "archive" / "20260115").iterdir())) == 24


def test_a_data_directory_that_is_a_link_itself_is_the_data_directory(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert remove(plan_of(tmp_path / "link", {"archive_days": 2}, unpublished=True)) == []

    assert names_in(root / "archive") == []


def test_a_day_that_is_being_exported_is_busy_and_nothing_of_it_is_removed(root: Path, published: Path) -> None:
    plan, before = plan_of(root, KEEP_TWO), files_in(root)
    with sole_writer(published):
        left = remove(plan)

    assert [each.folder.dataset.name for each in left] == ["archive", "tier3_daily"]
    assert {each.reason.found for each in left} == {
        f"{published} is busy: another process is writing into it; nothing of the day was removed"
    }
    assert files_in(root) == before
    assert remove(plan) == []


def test_a_first_export_of_the_day_keeps_its_archive_too_and_leaves_no_folder(root: Path) -> None:
    plan = plan_of(root, {"archive_days": 2}, unpublished=True)
    with sole_writer(folder(root, "tier3", DAY)):
        assert len(remove(plan)) == 1
        assert len(names_in(hour_file(root, 0).parent)) == 24
    folder(root, "tier3", DAY).rmdir()
    folder(root, "tier3", DAY).parent.rmdir()
    (root / "output").rmdir()

    assert remove(plan) == []
    assert sorted(files_in(root)) == ["archive"]


def test_an_hour_that_is_being_written_keeps_the_other_hours_of_its_day(tmp_path: Path) -> None:
    put_hour(tmp_path, 3)
    plan, before = plan_of(tmp_path, KEEP_TWO), files_in(tmp_path)
    with sole_writer(put_hour(tmp_path, 4)):
        came = remove(plan)
        busy = remove(plan_of(tmp_path, KEEP_TWO))

    assert "hours came or went" in came[0].reason.found
    assert "another process is writing into it" in busy[0].reason.found
    assert before.items() <= files_in(tmp_path).items()


def test_an_hour_that_the_live_fleet_may_have_open_is_removed_only_if_nobody_serves_that_archive(root: Path) -> None:
    hour_file(root, 23).rename(hour_file(root, 23).with_name("23.jsonl.gz.part"))
    plan, before = plan_of(root, KEEP_TWO), files_in(root)
    with sole_writer(root / "archive"):
        left = remove(plan)

    assert f"{root / 'archive'} is busy: another process is writing into it" in left[0].reason.found
    assert files_in(root) == before
    assert remove(plan) == []


def test_days_without_an_open_hour_go_while_the_live_fleet_is_served(root: Path) -> None:
    with sole_writer(root / "archive"):
        assert remove(plan_of(root, KEEP_TWO)) == []

    assert names_in(root / "archive") == []


@pytest.mark.parametrize("dataset", sorted(FORMS))
def test_a_file_half_written_keeps_the_day_while_its_writer_lives_and_goes_with_it_afterwards(
    dataset: str, tmp_path: Path
) -> None:
    put_day(tmp_path, dataset, DAY)
    final = folder(tmp_path, dataset, DAY) / NAMES[dataset]
    with held(final.parent / f".{final.name}.0badc0de.tmp"):
        alive = plan_of(tmp_path, KEEP_TWO, unpublished=True)
    # As an earlier version named it, by the id of a process: one of that id lives on here.
    (final.parent / f".{final.name}.1.{os.getpid()}.tmp").write_bytes(b"")
    dead = plan_of(tmp_path, KEEP_TWO, unpublished=True)

    assert "is being written" in reasons(alive)[0].found
    assert (reasons(dead), remove(dead)) == ([], [])
    assert not folder(tmp_path, dataset, DAY).exists()


def test_an_archive_day_that_tier_3_would_keep_stays_until_it_is_published(root: Path) -> None:
    refused = plan_of(root, {"archive_days": 2})
    told = plan_of(root, {"archive_days": 2}, unpublished=True)
    export(root)
    done = plan_of(root, {"archive_days": 2})

    assert reasons(refused)[0].found == (
        "2026-01-15 is not published in tier 3, which keeps it: those samples would be lost"
    )
    assert "capsim tier3 export --date 2026-01-15" in reasons(refused)[0].remedy
    assert "--unpublished" in reasons(refused)[0].remedy
    assert [len(plan.expired) for plan in (refused, told, done)] == [0, 1, 1]


@pytest.mark.parametrize(("tier3_days", "goes"), [(45, True), (46, False)])
def test_an_archive_day_that_tier_3_would_not_keep_either_needs_no_publication(
    tier3_days: int, goes: bool, root: Path
) -> None:
    # 1 March is 45 days after 15 January: 45 days reach back to 16 January, 46 to the 15th.
    assert bool(plan_of(root, {"archive_days": 2, "tier3_days": tier3_days}).expired) == goes


def damaged(root: Path) -> None:
    data = root / "output" / "tier3_daily" / str(DAY) / "data.parquet"
    data.write_bytes(data.read_bytes()[:-1])


LOSSES: Final[dict[str, tuple[Callable[[Path], object], str]]] = {
    "an hour written since": (
        lambda root: change_hour(root, 7, lambda lines: [{**each, "cpu": 1.0} for each in lines]),
        "is published without 07.jsonl.gz in tier 3",
    ),
    "an hour still open": (
        lambda root: write_hour(root, 7, b"{}").rename(hour_file(root, 7).with_name("07.jsonl.gz.part")),
        "is published without 07.jsonl.gz.part in tier 3",
    ),
    "damaged data": (damaged, "is not published in tier 3"),
}


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("name", LOSSES)
def test_a_published_day_keeps_what_it_was_not_made_of(name: str, root: Path) -> None:
    change, said = LOSSES[name]
    change(root)
    plan = plan_of(root, {"archive_days": 2})

    assert plan.expired == []
    assert said in reasons(plan)[0].found


def test_what_was_published_incomplete_goes_if_every_file_of_the_archive_is_in_it(root: Path) -> None:
    hour_file(root, 7).unlink()
    export(root, allow_incomplete=True)
    assert remove(plan_of(root, {"archive_days": 2})) == []

    assert names_in(root / "archive") == []


def test_a_disk_that_refuses_is_reported_and_the_other_days_go_on(
    root: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmdir = Path.rmdir

    def refuse(path: Path) -> None:
        if path.name == "20260115":
            raise PermissionError(13, "Permission denied")
        rmdir(path)

    monkeypatch.setattr(Path, "rmdir", refuse)
    left = remove(plan_of(root, KEEP_TWO))

    assert [each.folder.dataset.name for each in left] == ["archive"]
    assert "20260115 cannot be removed: Permission denied" in left[0].reason.found
    assert not published.exists()
