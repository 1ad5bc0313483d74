"""Settings: precedence, and errors that name the key, what was found and what is allowed."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from capsim_dagster.errors import SettingsError
from capsim_dagster.schemas import Resource, Scenario
from capsim_dagster.settings import Metric, load_settings, settings_hash
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.every_setting import CHANGES, base_generation, changed, leaf_paths
from capsim_dagster_tests.support.shipped_settings import shipped_sections, shipped_settings

NUM_SERVERS = "CAPSIM__DATA_GENERATION__NUM_SERVERS"
US_EAST = {"name": "us-east", "weight": 1, "bank_calendar": "US"}


def saved(tmp_path: Path, content: dict[str, Any]) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_environment_beats_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NUM_SERVERS, "50")

    assert load_settings(CONFIG).data_generation.num_servers == 50


def test_command_line_beats_the_environment_key_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NUM_SERVERS, "50")
    monkeypatch.setenv("CAPSIM__DATA_GENERATION__RANDOM_SEED", "7")
    generation = shipped_settings({"data_generation": {"num_servers": 60}}).data_generation

    assert (generation.num_servers, generation.random_seed) == (60, 7)
    assert generation.start_date == dt.date(2023, 1, 1)


def test_environment_reaches_nested_settings_and_leaves_their_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSIM__DATA_GENERATION__METRICS__CPU__BASE_STD", "0.25")
    monkeypatch.setenv("CAPSIM__DATA_GENERATION__SCENARIO_MIX__BURST__RARE_SHARE", "0.4")
    generation = load_settings(CONFIG).data_generation

    shipped_cpu = shipped_sections()["data_generation"]["metrics"]["cpu"]
    assert generation.metrics[Resource.CPU] == Metric.model_validate({**shipped_cpu, "base_std": 0.25})
    assert generation.scenario_mix[Scenario.BURST].rare_share == 0.4
    assert generation.scenario_mix[Scenario.BURST].share == 0.15


def test_other_variables_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_GENERATION__NUM_SERVERS", "50")
    monkeypatch.setenv("NUM_SERVERS", "50")

    assert load_settings(CONFIG).data_generation.num_servers == 2_000


def test_settings_file_is_found_through_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = shipped_sections()
    content["data_generation"]["num_servers"] = 33
    monkeypatch.setenv("CAPSIM_CONFIG", str(saved(tmp_path, content)))

    assert load_settings().data_generation.num_servers == 33


def test_settings_file_of_the_checkout_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert load_settings() == load_settings(CONFIG)


@each_case(
    ("env", "folder"),
    [("local", "data"), ("sagemaker", "/opt/ml/processing/output"), ("lambda", "/tmp/capsim")],  # noqa: S108 documented
)
def test_env_selects_the_data_directory_unless_one_is_named(env: str, folder: str, tmp_path: Path) -> None:
    chosen = shipped_settings({"general": {"env": env}})
    named = shipped_settings({"general": {"env": env}, "storage": {"local_base_path": tmp_path}})

    assert chosen.data_dir == Path(folder)
    assert named.data_dir == tmp_path


@each_case(
    ("generation", "said"),
    [
        ({"num_server": 5}, ["data_generation.num_server:", "no such setting", "num_servers, start_date"]),
        ({"num_servers": 9}, ["data_generation.num_servers: found 9", "greater than or equal to 10"]),
        ({"num_servers": "many"}, ["data_generation.num_servers: found 'many'", "valid integer"]),
        ({"start_date": "2024-13-01"}, ["data_generation.start_date: found '2024-13-01'"]),
        ({"end_date": "2022-12-31"}, ["end_date 2022-12-31", "must not be before start_date 2023-01-01"]),
        ({"random_seed": -1}, ["data_generation.random_seed: found -1", "greater than or equal to 0"]),
        ({"random_seed": 2**63}, ["data_generation.random_seed: found 9223372036854775808", "less than"]),
        ({"scenario_horizon_days": 29}, ["data_generation.scenario_horizon_days: found 29", "equal to 30"]),
        ({"breach_threshold": 50}, ["data_generation.breach_threshold: found 50", "greater than 50"]),
        ({"breach_threshold": 101}, ["data_generation.breach_threshold: found 101", "less than or equal to 100"]),
        ({"scenario_mix": {"BURST": {"share": 0.5}}}, ["scenario_mix add up to 1.35", "must add up to 1"]),
        ({"scenario_mix": {"BURST": {"share": -0.1}}}, ["scenario_mix.BURST.share: found -0.1", "equal to 0"]),
        ({"scenario_mix": {"BURST": {"rate": 1}}}, ["scenario_mix.BURST.rate: no such setting"]),
        ({"scenario_mix": {"SPIKY": {"share": 0}}}, ["scenario_mix.SPIKY: found 'SPIKY'", "'STEADY_GROWTH'"]),
        ({"metrics": {"cpu": {"base_std": -1}}}, ["metrics.cpu.base_std: found -1", "equal to 0"]),
        ({"metrics": {"gpu": {"base_std": 1}}}, ["metrics.gpu: found 'gpu'", "'network'"]),
        ({"metrics": {"disk": {"base_mean": 0}}}, ["metrics.disk.base_mean: found 0", "greater than 0"]),
        ({"metrics": {"cpu": {"min_clip": 60, "max_clip": 60}}}, ["metrics.cpu: min_clip 60", "below max_clip 60"]),
        ({"metrics": {"cpu": {"max_clip": 94}}}, ["max_clip of cpu 94", "below breach_threshold 95"]),
        ({"metadata": {"virtual_share": 1.1}}, ["metadata.virtual_share: found 1.1", "less than or equal to 1"]),
        ({"metadata": {"apps_per_team": 0}}, ["metadata.apps_per_team: found 0", "greater than or equal to 1"]),
        ({"metadata": {"regions": []}}, ["metadata.regions: found []", "at least 1 item"]),
        (
            {"metadata": {"regions": [US_EAST, US_EAST]}},
            ["metadata: regions: name us-east stands twice", "each name once"],
        ),
        ({"metadata": {"regions": [US_EAST | {"weight": float("inf")}]}}, ["regions.0.weight: found inf", "finite"]),
        ({"metadata": {"regions": [US_EAST | {"bank_calendar": "XX"}]}}, ["bank_calendar: found 'XX'", "e.g. US, GB"]),
        ({"metadata": {"regions": [US_EAST | {"weight": -2}]}}, ["regions.0.weight: found -2", "greater than 0"]),
        ({"metadata": {"regions": [US_EAST | {"weight": "x"}]}}, ["regions.0.weight: found 'x'", "valid number"]),
    ],
)
def test_unusable_generation_settings_are_errors_that_say_what_is_allowed(
    generation: dict[str, object], said: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        shipped_settings({"data_generation": generation})

    assert [fragment for fragment in said if fragment not in str(caught.value)] == []
    assert str(CONFIG) in caught.value.remedy


@each_case(
    ("section", "values", "said"),
    [
        ("general", {"env": "moon"}, ["general.env: found 'moon'", "'local', 'sagemaker' or 'lambda'"]),
        (
            "storage",
            {"folder": "x"},
            ["storage.folder: no such setting", "local_base_path, use_s3, bucket_name", "lock_timeout_seconds"],
        ),
        ("storage", {"lock_timeout_seconds": -1}, ["storage.lock_timeout_seconds: found -1", "equal to 0"]),
        ("automation", {"max_months_per_tick": 0}, ["automation.max_months_per_tick: found 0", "equal to 1"]),
        ("automation", {"max_months_per_tick": 121}, ["automation.max_months_per_tick: found 121", "equal to 120"]),
        ("automation", {"max_months_per_run": 0}, ["automation.max_months_per_run: found 0", "equal to 1"]),
        ("automation", {"max_months_per_run": 121}, ["automation.max_months_per_run: found 121", "equal to 120"]),
        ("legacy_feed", {"resources": {"cpu": {"file_prefix": "a/b"}}}, ["cpu.file_prefix: found 'a/b'", "pattern"]),
        (
            "legacy_feed",
            {"resources": {"cpu": {"file_prefix": "memory_stats"}}},
            ["file_prefix memory_stats stands twice"],
        ),
        ("legacy_feed", {"resources": {"cpu": {"value_column": "date"}}}, ["header of cpu: label date stands twice"]),
        ("automatic", {"x": 1}, ["automatic: no such setting", "general, data_generation, storage"]),
    ],
)
def test_unusable_settings_of_other_sections_are_errors_that_say_what_is_allowed(
    section: str, values: dict[str, object], said: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        shipped_settings({section: values})

    assert [fragment for fragment in said if fragment not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("CAPSIM__DATA_GENERATION__NUM_SERVER", ["data_generation.num_server: no such setting", "num_servers"]),
        ("CAPSIM__DATAGENERATION__NUM_SERVERS", ["CAPSIM__DATAGENERATION__NUM_SERVERS", "data_generation"]),
        (
            "CAPSIM__DATA_GENERATION__METRICS__CPU__COLOUR",
            ["metrics.cpu.colour: no such setting", "base_mean, base_std"],
        ),
        ("CAPSIM__DATA_GENERATION__METADATA", ["data_generation.metadata: found 77"]),
    ],
)
def test_unknown_variables_of_the_environment_are_errors(
    monkeypatch: pytest.MonkeyPatch, variable: str, said: list[str]
) -> None:
    monkeypatch.setenv(variable, "77")

    with pytest.raises(SettingsError) as caught:
        shipped_settings()

    assert [fragment for fragment in said if fragment not in str(caught.value)] == []


def test_environment_that_is_no_json_where_it_must_be_is_an_error_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CAPSIM__DATA_GENERATION", "no json")

    with pytest.raises(SettingsError, match="data_generation") as caught:
        shipped_settings()

    assert "JSON" in caught.value.remedy


def test_two_departments_with_one_code_are_refused() -> None:
    department = {"code": "PAY", "weight": 1, "business_unit": "Bank", "teams": ["A"], "season_peak_day": 1}
    departments = [department | {"name": "Payments"}, department | {"name": "Payroll"}]

    with pytest.raises(SettingsError, match="departments: code PAY stands twice"):
        shipped_settings({"data_generation": {"metadata": {"departments": departments}}})


def test_key_that_stands_twice_in_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("general: {env: local}\ngeneral: {env: lambda}\n")

    with pytest.raises(SettingsError, match="the key 'general' stands twice"):
        load_settings(path)


def test_empty_section_has_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text(yaml.safe_dump({**shipped_sections(), "storage": None}))

    assert load_settings(path).storage.lock_timeout_seconds == 60


def test_unknown_keys_of_the_file_are_all_named_at_once(tmp_path: Path) -> None:
    content = shipped_sections()
    content["data_generation"]["hosts"] = 5
    content["automation"]["crontab"] = "x"

    with pytest.raises(SettingsError, match="2 settings cannot be used") as caught:
        load_settings(saved(tmp_path, content))

    assert "data_generation.hosts: no such setting" in str(caught.value)
    assert "automation.crontab: no such setting" in str(caught.value)


@each_case("name", ["data_generation", "legacy_feed", "automation"])
def test_missing_sections_are_errors_that_name_them(tmp_path: Path, name: str) -> None:
    content = shipped_sections()
    del content[name]

    with pytest.raises(SettingsError, match=f"{name}: not found; it is required"):
        load_settings(saved(tmp_path, content))


@each_case(("part", "name"), [("scenario_mix", "BURST"), ("metrics", "disk")])
def test_missing_scenarios_and_resources_are_errors_that_name_them(tmp_path: Path, part: str, name: str) -> None:
    content = shipped_sections()
    del content["data_generation"][part][name]

    with pytest.raises(SettingsError, match=f"{part} lacks {name}"):
        load_settings(saved(tmp_path, content))


def test_missing_file_is_an_error_that_names_it_and_the_option(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml not found") as caught:
        load_settings(tmp_path / "nowhere.yaml")

    assert "--config" in caught.value.remedy


@each_case(
    ("content", "said"),
    [
        (b"general: [1, 2", "is not YAML"),
        (b"\xff\xfe\xff", "is not YAML"),
        (b"- 1", "no sections"),
        (b"", "no sections"),
    ],
)
def test_file_that_is_no_yaml_mapping_is_an_error_that_names_it(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)

    with pytest.raises(SettingsError, match=said) as caught:
        load_settings(path)

    assert str(path) in str(caught.value)


def test_settings_are_frozen_at_every_level() -> None:
    settings: Any = shipped_settings()

    for model, name in [(settings, "general"), (settings.data_generation, "num_servers"), (settings.general, "env")]:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(model, name, getattr(model, name))


def test_settings_hash_ignores_the_windows_end_alone() -> None:
    later = changed(base_generation(), {"end_date": "2030-01-01"})

    assert settings_hash(later) == settings_hash(base_generation())


@each_case("path", sorted(set(CHANGES) - {"end_date"}))
def test_settings_hash_changes_with_every_other_setting(path: str) -> None:
    assert settings_hash(changed(base_generation(), CHANGES[path])) != settings_hash(base_generation())


def test_settings_hash_changes_with_the_version_of_the_model() -> None:
    assert len({settings_hash(base_generation(), *version) for version in ((), ("1",), ("2",))}) == 3


def test_settings_hash_does_not_depend_on_the_order_of_the_file(tmp_path: Path) -> None:
    content = shipped_sections()
    content["data_generation"]["metrics"] = dict(reversed(content["data_generation"]["metrics"].items()))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    assert settings_hash(load_settings(path).data_generation) == settings_hash(shipped_settings().data_generation)


def test_changes_cover_every_setting_of_data_generation() -> None:
    assert set(leaf_paths(base_generation().model_dump(mode="json"))) == set(CHANGES)
