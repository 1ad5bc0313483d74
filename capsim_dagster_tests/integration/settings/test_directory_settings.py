"""A data directory knows its settings: what holds in it, what may differ, and what is refused."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from capsim_dagster.errors import SettingsError
from capsim_dagster.pipeline.directory import (
    clear,
    ensure_record,
    kind_of,
    made_of,
    record_first,
    require_simulated,
    write_record,
)
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.settings import (
    RECORD_NAME,
    Chosen,
    Kind,
    Settings,
    choose_settings,
    directory_settings,
    load_settings,
)
from capsim_dagster_tests.conftest import CONFIG, SMALL, small_settings

Overrides = dict[str, dict[str, Any]]


def given(data_dir: Path, **generation: object) -> Overrides:
    return {"storage": {"local_base_path": data_dir}, "data_generation": generation}


def made(data_dir: Path, kind: Kind = Kind.SIMULATED, config: Path | None = None, **generation: object) -> Chosen:
    """Record a directory as the first command in it does."""
    chosen = choose_settings(config, given(data_dir, **(generation or SMALL)))
    write_record(chosen, kind)
    return chosen


def settings_file(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"base": str(CONFIG), **content}), encoding="utf-8")
    return path


def shipped_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch, **content: dict[str, Any]) -> None:
    """Go to a folder whose config/config.yaml is as the shipped one, but for some sections."""
    settings_file(folder / "config" / "config.yaml", content)
    monkeypatch.chdir(folder)


def test_settings_of_the_command_that_made_a_directory_are_the_default_of_all_others(tmp_path: Path) -> None:
    first = made(tmp_path)

    assert directory_settings(None, given(tmp_path)).settings == first.settings


def test_directory_without_a_record_takes_what_it_is_given(tmp_path: Path) -> None:
    assert directory_settings(None, given(tmp_path, num_servers=33)).settings.data_generation.num_servers == 33


def test_record_holds_every_setting_but_where_it_runs(tmp_path: Path) -> None:
    first = made(tmp_path)

    recorded = yaml.safe_load((tmp_path / RECORD_NAME).read_text(encoding="utf-8"))

    expected = first.settings.model_dump(mode="json", exclude={"general": True, "storage": {"local_base_path"}})
    assert recorded["settings"] == expected
    assert (recorded["format"], recorded["kind"], recorded["config"]) == (1, "simulated", None)
    assert [each["key"][-1] for each in recorded["given"]] == ["end_date", "num_servers"]


@pytest.mark.parametrize(
    ("section", "change", "said"),
    [
        ("data_generation", {"num_servers": 50}, r"data_generation.num_servers: recorded 12, given 50 \(--hosts\)"),
        ("data_generation", {"end_date": "2023-05-31"}, r"recorded 2023-03-31, given 2023-05-31 \(--end\)"),
        ("data_generation", {"random_seed": 7}, "random_seed: recorded 42, given 7"),
        ("legacy_feed", {"defects": {"line_share": 0.1}}, r"line_share: recorded 0.0, given 0.1 \(--dirty\)"),
        ("archive", {"interval_minutes": 10}, "interval_minutes: recorded 5, given 10"),
        ("panel", {"flags": ["is_weekend"]}, r"panel.flags: recorded \[\], given \['is_weekend'\]"),
        ("panel", {"metrics": {"busy": {"resource": "cpu"}}}, r"panel.metrics.busy.resource: recorded \(not set\)"),
        ("refinery", {"conflicting_duplicates": "first"}, "conflicting_duplicates: recorded reject, given first"),
    ],
)
def test_setting_that_decides_what_is_there_is_refused_where_it_differs(
    tmp_path: Path, section: str, change: dict[str, Any], said: str
) -> None:
    made(tmp_path)

    with pytest.raises(SettingsError, match=said) as caught:
        directory_settings(None, {**given(tmp_path), section: change})

    assert "capsim run --replace" in caught.value.remedy


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("automation", {"max_months_per_tick": 3}),
        ("live", {"port": 4711}),
        ("publication", {"max_null_share": 0.5}),
        ("storage", {"lock_timeout_seconds": 1.0}),
        ("refinery", {"max_rejected_share": 0.5}),
        ("panel", {"samples_count": 7}),
    ],
)
def test_setting_of_how_a_directory_is_worked_on_acts_at_once(
    tmp_path: Path, section: str, change: dict[str, Any]
) -> None:
    made(tmp_path)
    overrides = given(tmp_path)
    overrides[section] = {**overrides.get(section, {}), **change}

    settings = directory_settings(None, overrides).settings

    assert getattr(settings, section).model_dump().items() >= change.items()


def test_environment_that_differs_is_refused_by_the_name_of_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path)
    monkeypatch.setenv("CAPSIM__DATA_GENERATION__NUM_SERVERS", "50")

    with pytest.raises(SettingsError, match=r"given 50 \(CAPSIM__DATA_GENERATION__NUM_SERVERS\)"):
        directory_settings(None, given(tmp_path))


def test_file_that_was_named_again_says_nothing_new_beside_the_options_of_then(tmp_path: Path) -> None:
    mine = settings_file(tmp_path / "mine.yaml", {"data_generation": {"random_seed": 5}})
    first = made(tmp_path / "data", config=mine)

    for config in (mine, None):
        assert directory_settings(config, given(tmp_path / "data")).settings == first.settings


def test_named_file_that_was_edited_is_refused_where_it_decides_and_acts_elsewhere(tmp_path: Path) -> None:
    mine = settings_file(tmp_path / "mine.yaml", {"data_generation": {"random_seed": 5}})
    made(tmp_path / "data", config=mine)
    settings_file(mine, {"data_generation": {"random_seed": 5}, "live": {"port": 4711}})

    assert directory_settings(mine, given(tmp_path / "data")).settings.live.port == 4711

    settings_file(mine, {"data_generation": {"random_seed": 6}})
    with pytest.raises(SettingsError, match="random_seed: recorded 5, given 6"):
        directory_settings(mine, given(tmp_path / "data"))


def test_edit_of_the_shipped_file_leaves_a_directory_as_it_is_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "data")
    shipped_elsewhere(tmp_path, monkeypatch, data_generation={"random_seed": 6}, live={"port": 4711})

    chosen = directory_settings(None, given(tmp_path / "data"))

    assert chosen.settings.data_generation.random_seed == 42
    assert chosen.settings.live.port == 4711
    assert "data_generation.random_seed" in chosen.note


def test_run_takes_an_edit_of_the_shipped_file_as_another_fleet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "data")
    shipped_elsewhere(tmp_path, monkeypatch, data_generation={"random_seed": 6})

    chosen = choose_settings(None, given(tmp_path / "data"), adopts_edits=True)

    assert [each.key[-1] for each in chosen.differences] == ["random_seed"]
    assert chosen.settings.data_generation.num_servers == SMALL["num_servers"]


def test_shipped_file_has_no_part_in_a_directory_of_a_file_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(tmp_path / "data", config=settings_file(tmp_path / "mine.yaml", {"panel": {"samples_count": 3}}))
    shipped_elsewhere(tmp_path, monkeypatch, data_generation={"random_seed": 6}, panel={"samples_count": 9})

    assert directory_settings(None, given(tmp_path / "data")).settings == first.settings


def test_column_that_a_directory_lacks_does_not_come_back_from_the_shipped_file(tmp_path: Path) -> None:
    panel = load_settings(CONFIG).panel.model_dump(mode="json")
    panel["metrics"] = {"cpu_p95": panel["metrics"]["cpu_p95"]}
    content = {**yaml.safe_load(CONFIG.read_text(encoding="utf-8")), "panel": panel}
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(content), encoding="utf-8")
    made(tmp_path / "data", config=mine)

    assert list(directory_settings(None, given(tmp_path / "data")).settings.panel.metrics) == ["cpu_p95"]


def test_later_end_only_extends(tmp_path: Path) -> None:
    made(tmp_path)

    later, earlier = (
        choose_settings(None, given(tmp_path, end_date=end), adopts_edits=True) for end in ("2023-06-30", "2023-02-28")
    )

    assert [each.is_later_end for each in (*later.differences, *earlier.differences)] == [True, False]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("format: 2\nkind: simulated\nsettings: {}\n", "is of format 2"),
        ("format: 1\nkind: simulated\n", "is damaged"),
        ("format: 1\nkind: castle\nsettings: {}\n", "is damaged"),
        ("format: 1\nkind: simulated\nsettings: [1]\n", "is damaged"),
        ("format: 1\nkind: simulated\nsettings: {data_gen", "is not YAML"),
        ("", "holds no sections"),
        ("format: 1\nkind: simulated\nsettings: {live: {port: x}}\n", r"capsim_settings\.yaml"),
    ],
)
def test_record_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / RECORD_NAME).write_text(content, encoding="utf-8")

    with pytest.raises(SettingsError, match=said):
        directory_settings(None, given(tmp_path))


def test_work_that_no_command_began_is_recorded_once(tmp_path: Path) -> None:
    settings = small_settings(tmp_path)

    ensure_record(Platform(settings), Kind.SIMULATED)
    ensure_record(Platform(small_settings(tmp_path, num_servers=50)), Kind.SIMULATED)

    assert directory_settings(None, given(tmp_path)).settings.data_generation == settings.data_generation


def test_fleet_of_before_is_not_recorded_as_one_of_other_settings(platform: Platform) -> None:
    (platform.layout.root / RECORD_NAME).unlink()

    record_first(choose_settings(None, given(platform.layout.root)), Kind.SIMULATED)

    assert not (platform.layout.root / RECORD_NAME).exists()


def test_paths_of_a_feed_are_recorded_as_they_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    feed: Overrides = {**given(tmp_path / "data"), "refinery": {"feed_dir": Path("exports")}}
    write_record(choose_settings(None, feed), Kind.FEED)
    monkeypatch.chdir("/")

    assert directory_settings(None, given(tmp_path / "data")).settings.refinery.feed_dir == tmp_path / "exports"


def test_fleet_of_the_settings_decides_nothing_where_a_feed_was_loaded(tmp_path: Path) -> None:
    feed: Overrides = {**given(tmp_path), "refinery": {"feed_dir": tmp_path / "exports"}}
    write_record(choose_settings(None, feed), Kind.FEED)

    assert directory_settings(None, given(tmp_path, num_servers=77)).settings.data_generation.num_servers == 77


@pytest.mark.parametrize("kind", [Kind.FEED, Kind.PANEL])
def test_simulated_data_do_not_go_beside_real_ones(tmp_path: Path, kind: Kind) -> None:
    made(tmp_path, kind)

    with pytest.raises(SettingsError, match="that capsim did not make") as caught:
        require_simulated(Platform(small_settings(tmp_path)))

    assert "--data-dir" in caught.value.remedy


def test_directory_of_before_is_of_the_kind_that_lies_in_it(platform: Platform, tmp_path: Path) -> None:
    (platform.layout.root / RECORD_NAME).unlink()
    staged = tmp_path / "other" / "panel" / "staged" / "theirs.parquet"
    staged.parent.mkdir(parents=True)
    staged.touch()

    found = [kind_of(Platform(small_settings(folder))) for folder in (platform.layout.root, tmp_path / "other")]

    assert found == [Kind.SIMULATED, Kind.PANEL]
    assert kind_of(Platform(small_settings(tmp_path / "nothing"))) is None


def test_what_would_go_is_told_and_goes_by_what_it_was_made_of(platform: Platform) -> None:
    root = platform.layout.root
    for name in ("panel/raw/raw.parquet", "archive/20230101/00.jsonl.gz", "output/tier3_daily/2023-01-01/data.parquet"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(b"x")

    assert [line.partition(":")[0] for line in made_of(platform, {"archive"})] == ["hourly_archive", "datasets"]
    clear(platform, {"archive"})
    left = made_of(platform, {"data_generation"})

    assert [line.partition(":")[0] for line in left] == ["master_parquet", "monthly_csv", "processed_data", "panels"]
    assert left[0].startswith("master_parquet: 12 hosts from 2023-01-01 to 2023-03-31, ")
    assert left[1].startswith("monthly_csv: 3 months, 12 files, ")


def test_every_setting_is_recorded_and_read_back_as_it_was(tmp_path: Path) -> None:
    chosen = made(tmp_path)
    again = directory_settings(None, given(tmp_path))

    write_record(dataclasses.replace(again, record=None), Kind.SIMULATED)

    settings: Settings = directory_settings(None, given(tmp_path)).settings
    assert settings == chosen.settings
