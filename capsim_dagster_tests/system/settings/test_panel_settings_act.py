"""The law that every setting of the panel acts: changing it changes what is made, or whether it is saved.

Those of `panel.validation` change what a panel that is loaded must hold, which the tests of loading show.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from capsim_dagster.errors import GateError, SettingsError
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import DataGeneration, Panel, Settings, load_settings
from capsim_dagster.storage import Folder, store_of
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.every_setting import CHANGES, base_generation, changed, leaf_paths
from capsim_dagster_tests.support.panel.generated import generation_of, own_metric, panel_of, save, table_of

_OWN: Final = own_metric(generation_of()).model_dump(mode="json")
TABLE_CHANGES: Final[dict[str, Any]] = {
    "server_prefix": "web",
    "server_digits": 6,
    "metrics.cpu_p95.resource": "disk",
    "metrics.cpu_p95.unit": "absolute",
    "metrics.net_in_p95.direction": "out",
    "metrics.cpu_p95.own": _OWN,
    "flags": ["is_weekend"],
    "inbound_share": [0.1, 0.9],
}
"""Settings that change the rows of a panel, and to what."""
SAVED_CHANGES: Final[dict[str, Any]] = {"samples_count": 7}
GATES: Final[dict[str, Any]] = {"quality.max_missing_share": 0.001, "quality.pattern_tolerance": 0.0}
"""Settings that decide whether a panel is saved."""
OF_METRICS: Final[dict[Resource, list[str]]] = {
    resource: [path for path in CHANGES if path.startswith(f"metrics.{resource}.")] for resource in Resource
}
"""Settings of the simulation that the document of the panel names, by resource: base load and patterns."""
OTHERS: Final = [
    path
    for path in CHANGES
    if path.startswith(("anomalies.", "gaps.", "metadata.regions", "metadata.criticality"))
    or path in ("random_seed", "num_servers", "start_date", "end_date", "metadata.departments.0.business_unit")
]
"""Others that it names: outliers, gaps, metadata."""
PANEL: Final = panel_of()
COLUMNS: Final = {
    Resource.CPU: {"cpu_p95"},
    Resource.MEMORY: {"mem_p95"},
    Resource.DISK: {"disk_p95"},
    Resource.NETWORK: {"net_in_p95", "net_out_p95"},
}


def with_change(panel: Panel, path: str, value: object) -> Panel:
    """Return the settings of a panel with one of them changed."""
    facts = panel.model_dump(mode="json")
    *parents, leaf = path.split(".")
    place: Any = facts
    for part in parents:
        place = place[part]
    place[leaf] = value
    return Panel.model_validate(facts)


def test_each_setting_of_the_columns_changes_the_rows() -> None:
    generation = generation_of(end_date="2023-01-31")
    before = table_of(generation, PANEL)

    for path, value in TABLE_CHANGES.items():
        after = table_of(generation, with_change(PANEL, path, value))
        assert not before.equals(after, null_equal=True), path
        assert before.height == after.height, path


def test_sample_has_as_many_rows_as_are_set(tmp_path: Path) -> None:
    made = save(generation_of(), panel_of(**SAVED_CHANGES), tmp_path)

    assert len(Path(made.sample_url).read_text(encoding="utf-8").splitlines()) == 1 + 7


@pytest.mark.parametrize("path", GATES)
def test_each_bound_of_quality_decides_whether_a_panel_is_saved(path: str, tmp_path: Path) -> None:
    generation = changed(base_generation(), {"num_servers": 60, "metrics.cpu.max_clip": 96.0})
    save(generation, panel_of(), tmp_path)

    bounds = [with_change(panel_of(), path, GATES[path])]
    if path == "quality.pattern_tolerance":
        # What chance explains is allowed on top: only a lie about the pattern shows.
        lie = {"metrics.cpu.weekly_pattern_factor": 0.6}
        with pytest.raises(GateError, match="weekend"):
            check_with(generation, changed(generation, lie), bounds[0])
        check_with(generation, changed(generation, lie), with_change(panel_of(), path, 1.0))
        return
    with pytest.raises(GateError, match="may be missing"):
        save(generation, bounds[0], tmp_path)


def check_with(made_by: DataGeneration, judged_by: DataGeneration, panel: Panel) -> None:
    """Judge the rows of one fleet by the settings of another.

    Raises:
        GateError: If the patterns are off.
    """
    from capsim_dagster.panel.build import panel_pieces
    from capsim_dagster.panel.quality import PanelScan
    from capsim_dagster.simulation.fleet import fleet_of

    hosts = fleet_of(made_by)
    scan = PanelScan(judged_by, panel, hosts, end=made_by.end_date)
    for piece in panel_pieces(made_by, panel, hosts, end=made_by.end_date):
        scan.add(piece)
    report = scan.reports()["calendar_effects_match_settings"]
    if not report.passed:
        raise GateError(str(report), remedy="none")


def test_every_setting_of_the_panel_has_its_case() -> None:
    panel = load_settings(CONFIG).panel.model_dump(mode="json", exclude={"validation", "metrics", "flags"})
    metric = panel_of().metrics["cpu_p95"].model_dump(mode="json")

    of_metrics = {path.rpartition(".")[2] for path in TABLE_CHANGES if path.startswith("metrics.")}
    others = {path for path in (*TABLE_CHANGES, *SAVED_CHANGES, *GATES) if not path.startswith("metrics.")}

    assert of_metrics == set(metric)
    assert others - {"flags"} == {path.removesuffix(".0") for path in leaf_paths(panel)}


@cache
def engine_base() -> DataGeneration:
    return changed(base_generation(), {"num_servers": 100})


def columns_of(generation: DataGeneration) -> Mapping[str, Any]:
    """Return the columns of a fleet's panel."""
    return {column.name: column for column in table_of(generation, PANEL)}


@pytest.fixture(scope="module")
def engine_before() -> Mapping[str, Any]:
    return columns_of(engine_base())


def moved_by(change: Mapping[str, object], before: Mapping[str, Any]) -> set[str]:
    """Return the columns that are others after a change of the simulation."""
    after = columns_of(changed(engine_base(), change))
    return {name for name, column in after.items() if not column.equals(before[name], null_equal=True)}


def test_each_setting_of_a_metric_acts_on_its_own_columns_alone(engine_before: Mapping[str, Any]) -> None:
    """Each setting by one resource, in turn; and of each resource all at once."""
    for number, paths in enumerate(zip(*OF_METRICS.values(), strict=True)):
        resource = [*OF_METRICS][number % len(OF_METRICS)]
        path = paths[number % len(OF_METRICS)]
        assert moved_by(CHANGES[path], engine_before) == COLUMNS[resource], path
    for resource, own in OF_METRICS.items():
        every = {name: value for path in own for name, value in CHANGES[path].items()}
        assert moved_by(every, engine_before) == COLUMNS[resource], resource


def test_each_other_setting_of_the_simulation_acts_on_the_panel(engine_before: Mapping[str, Any]) -> None:
    assert [path for path in OTHERS if not moved_by(CHANGES[path], engine_before)] == []


STORAGE: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "local_base_path": ({"local_base_path": "/elsewhere"}, "/elsewhere/panel/raw/f"),
    "raw_prefix": ({"raw_prefix": "raw/"}, "/work/raw/f"),
    "bucket_name and use_s3": ({"use_s3": True, "bucket_name": "lake"}, "s3://lake/panel/raw/f"),
}


@pytest.mark.parametrize("name", STORAGE)
def test_each_setting_of_the_place_decides_where_a_panel_goes(name: str) -> None:
    change, url = STORAGE[name]

    settings = load_settings(CONFIG, {"storage": {"local_base_path": "/work", **change}})

    assert store_of(settings).url(f"{settings.storage.raw_prefix}/f") == url


@pytest.mark.parametrize(
    ("env", "change", "is_s3"),
    [
        ("local", {}, False),
        ("local", {"bucket_name": "lake"}, False),
        ("local", {"bucket_name": "lake", "use_s3": True}, True),
        ("sagemaker", {}, False),
        ("sagemaker", {"bucket_name": "lake"}, True),
        ("lambda", {"bucket_name": "lake"}, True),
        ("lambda", {"bucket_name": "lake", "use_s3": False}, False),
    ],
)
def test_env_selects_whether_a_bucket_that_is_named_is_used(env: str, change: dict[str, Any], is_s3: bool) -> None:
    settings = load_settings(CONFIG, {"general": {"env": env}, "storage": change})

    assert settings.uses_s3 is is_s3
    assert isinstance(store_of(settings), Folder) is not is_s3


@pytest.mark.parametrize(
    ("section", "change", "sentence"),
    [
        ("panel", {"server_prefix": "1x"}, "panel.server_prefix: found '1x'"),
        ("panel", {"server_digits": 0}, "panel.server_digits: found 0"),
        ("panel", {"inbound_share": [0.5, 1.2]}, "panel.inbound_share: found [0.5, 1.2]"),
        ("panel", {"inbound_share": [0.6, 0.5]}, "the lower bound comes first"),
        ("panel", {"samples_count": -1}, "panel.samples_count: found -1"),
        ("panel", {"flags": ["is_monday"]}, "panel.flags.0: found 'is_monday'"),
        ("panel", {"flags": ["is_weekend", "is_weekend"]}, "flag is_weekend stands twice"),
        ("panel", {"metrics": {"Cpu P95": {"resource": "cpu"}}}, "are no column names"),
        ("panel", {"metrics": {"region": {"resource": "cpu"}}}, "column region stands twice"),
        ("panel", {"metrics": {"cpu": {"resource": "gpu"}}}, "panel.metrics.cpu.resource: found 'gpu'"),
        ("panel", {"metrics": {"cpu": {"resource": "cpu", "direction": "in"}}}, "only network goes in and out"),
        ("panel", {"metrics": {"cpu": {"resource": "cpu", "unit": "GB"}}}, "panel.metrics.cpu.unit: found 'GB'"),
        ("panel", {"metrics": {"x": {"resource": "cpu", "own": {**_OWN, "base_std": 30}}}}, "own.base_std: found 30"),
        ("panel", {"quality": {"max_missing_share": 1.5}}, "panel.quality.max_missing_share: found 1.5"),
        ("panel", {"quality": {"pattern_tolerance": -0.1}}, "panel.quality.pattern_tolerance: found -0.1"),
        ("panel", {"validation": {"expected_servers": 0}}, "panel.validation.expected_servers: found 0"),
        ("panel", {"validation": {"max_gap_days": -1}}, "panel.validation.max_gap_days: found -1"),
        ("panel", {"typo": 1}, "panel.typo: no such setting exists"),
        ("storage", {"use_s3": True}, "bucket_name says not which bucket"),
        ("storage", {"bucket_name": "Not A Bucket"}, "storage.bucket_name: found 'Not A Bucket'"),
        ("storage", {"raw_prefix": "../up"}, "expected a folder below bucket and data directory"),
        ("storage", {"raw_prefix": "/root"}, "expected a folder below bucket and data directory"),
        ("storage", {"raw_prefix": "panel/staged"}, "validated panels lie apart"),
        ("storage", {"endpoint_url": "ftp://x"}, "expected http:// or https://"),
        ("storage", {"secret_access_key": "x"}, "no such setting exists"),
    ],
)
def test_a_setting_out_of_range_is_an_error_that_names_the_key(
    section: str, change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(CONFIG, {section: change})

    assert sentence in str(refused.value)


def test_credentials_in_an_endpoint_are_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(CONFIG, {"storage": {"endpoint_url": "https://user:hunter2@host:9000"}})

    assert "no credentials in it" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_settings_are_frozen_and_written_as_they_were_read() -> None:
    settings: Settings = load_settings(CONFIG)

    assert Panel.model_validate(json.loads(settings.panel.model_dump_json())) == settings.panel
