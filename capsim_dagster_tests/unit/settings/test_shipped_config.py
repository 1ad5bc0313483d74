"""The shipped settings files: config/config.yaml with documented defaults, complete, and every key explained in one."""

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from capsim_dagster.schemas import Resource, Scenario
from capsim_dagster.settings import (
    Anomalies,
    Bursts,
    Calendar,
    FeedColumns,
    Gaps,
    LoadShift,
    Metric,
    Noise,
    PanelMetric,
    PanelQuality,
    PanelValidation,
    Settings,
    Weighted,
    load_settings,
)
from capsim_dagster.settings.telemetry import Anomaly
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.shipped_settings import shipped_sections, shipped_settings

FACTORS = LoadShift.model_fields.keys() - Weighted.model_fields.keys()
TABLE_MODELS = (Metric, Anomaly, FeedColumns, PanelMetric)
TABLE_FIELDS = sorted({*FACTORS, *(field for model in TABLE_MODELS for field in model.model_fields)})
"""Fields of models of which the file holds several, explained once above them."""
WHOLE: dict[str, type[BaseModel]] = {
    "calendar": Calendar,
    "noise": Noise,
    "bursts": Bursts,
    "anomalies": Anomalies,
    "gaps": Gaps,
}
"""Models of parts of `data_generation` of which the file names every key."""


OTHERS = sorted(set(CONFIG.parent.glob("*.yaml")) - {CONFIG})
"""Files that are based on the first."""


def config_lines() -> list[str]:
    return CONFIG.read_text(encoding="utf-8").splitlines()


def has_comment_above(lines: list[str], index: int) -> bool:
    return lines[index - 1].lstrip().startswith("#")


def test_shipped_settings_are_the_documented_defaults() -> None:
    settings = shipped_settings()
    generation = settings.data_generation

    assert generation.num_servers == 2_000
    assert (generation.start_date, generation.end_date) == (dt.date(2023, 1, 1), dt.date(2025, 12, 31))
    assert (generation.random_seed, generation.breach_threshold) == (42, 95.0)
    assert settings.data_dir == Path("data")


def test_shipped_automation_is_the_documented_one() -> None:
    automation = shipped_settings().automation

    assert automation.monthly_cron == "0 6 2 * *"
    assert (automation.max_months_per_tick, automation.max_months_per_run) == (12, None)


def test_shipped_mix_is_the_documented_one() -> None:
    mix = shipped_settings().data_generation.scenario_mix

    assert {scenario.value: mix[scenario].share for scenario in Scenario} == {
        "STEADY_GROWTH": 0.35,
        "LOW_IDLE": 0.25,
        "SEASONAL": 0.20,
        "BURST": 0.15,
        "CAPACITY_BREACH": 0.05,
    }
    assert {share.rare_share for share in mix.values()} == {0.2}


def test_shipped_feed_labels_are_the_documented_ones() -> None:
    feed = shipped_settings().legacy_feed.resources

    assert {resource.value: (feed[resource].file_prefix, feed[resource].capacity_column) for resource in Resource} == {
        "cpu": ("cpu_utilization", "max_cores"),
        "memory": ("memory_stats", "memory_gb"),
        "disk": ("storage_usage", "storage_mb"),
        "network": ("net_throughput", "throughput_mbps"),
    }


def test_every_key_of_the_shipped_file_is_explained() -> None:
    """A key has a comment directly above, above the key just before it, or above its section."""
    lines = config_lines()
    keys = [index for index, line in enumerate(lines) if re.match(r"  \w+:", line)]
    sections = [index for index, line in enumerate(lines) if re.match(r"\w+:", line)]
    silent = [
        lines[key].strip()
        for key in keys
        if not has_comment_above(lines, key)
        and not (key - 1 in keys and has_comment_above(lines, key - 1))
        and not has_comment_above(lines, max(section for section in sections if section < key))
    ]

    assert len(keys) >= sum(len(section) for section in shipped_sections().values())
    assert silent == []


@each_case("field", TABLE_FIELDS)
def test_fields_of_tables_in_the_shipped_file_are_named_in_a_comment(field: str) -> None:
    comments = [line.partition("#")[2] for line in config_lines()]

    assert any(re.search(rf"\b{field}\b", comment) for comment in comments)


def test_shipped_file_names_every_setting_there_is() -> None:
    content = shipped_sections()

    assert set(content) == set(Settings.model_fields)
    for name, section in Settings.model_fields.items():
        kind: Any = section.annotation
        assert set(content[name]) == set(kind.model_fields), name


@each_case("name", sorted(WHOLE))
def test_shipped_file_names_every_setting_of_the_telemetry(name: str) -> None:
    content = shipped_sections()["data_generation"]

    assert set(content[name]) == set(WHOLE[name].model_fields)


def test_shipped_metrics_and_anomalies_name_every_setting_of_theirs() -> None:
    content = shipped_sections()["data_generation"]

    assert {frozenset(metric) for metric in content["metrics"].values()} == {frozenset(Metric.model_fields)}
    kinds = [content["anomalies"][kind] for kind in ("spike", "dip", "level_shift", "variance_change")]
    assert {frozenset(kind) for kind in kinds} == {frozenset(Anomaly.model_fields)}


def test_shipped_rates_are_the_documented_ones() -> None:
    generation = shipped_settings().data_generation

    assert (generation.gaps.missing_rate, generation.anomalies.rate) == (0.01, 0.005)
    assert generation.scenario_horizon_days == 1_096


def test_shipped_panel_is_the_documented_one() -> None:
    panel = shipped_settings().panel

    assert (panel.server_prefix, panel.server_digits, panel.samples_count, panel.flags) == ("SRV-", 4, 100, ())
    assert {name: (m.resource.value, m.unit, m.direction, m.own) for name, m in panel.metrics.items()} == {
        "cpu_p95": ("cpu", "percent", None, None),
        "mem_p95": ("memory", "percent", None, None),
        "disk_p95": ("disk", "percent", None, None),
        "net_in_p95": ("network", "absolute", "in", None),
        "net_out_p95": ("network", "absolute", "out", None),
    }


@pytest.mark.parametrize(("part", "model"), [("quality", PanelQuality), ("validation", PanelValidation)])
def test_every_threshold_of_the_panel_stands_in_the_shipped_file_and_is_explained(
    part: str, model: type[BaseModel]
) -> None:
    lines = config_lines()
    start = lines.index(f"  {part}:")
    named = {}
    for index, line in enumerate(lines[start + 1 :], start + 1):
        if re.match(r" {0,2}\w", line):
            break
        if match := re.match(r"    (\w+):", line):
            named[match[1]] = has_comment_above(lines, index)

    assert named == dict.fromkeys(model.model_fields, True)


def test_shipped_panel_of_120_servers_makes_175_320_rows_with_a_hundredth_missing() -> None:
    settings = load_settings(CONFIG.with_name("server_metrics_120.yaml"))
    generation = settings.data_generation

    assert generation.num_servers == 120
    assert (generation.start_date, generation.end_date) == (dt.date(2022, 1, 1), dt.date(2025, 12, 31))
    assert 120 * ((generation.end_date - generation.start_date).days + 1) == 175_320
    assert generation.gaps.missing_rate == 0.01
    assert settings.panel.metrics == shipped_settings().panel.metrics
    assert settings.panel.validation.min_history_days == 730


def test_settings_files_besides_the_first_are_the_known_ones() -> None:
    assert [path.name for path in OTHERS] == ["other_tool.yaml", "server_metrics_120.yaml"]
    assert {path.suffix for path in CONFIG.parent.iterdir() if path.is_file()} == {".yaml"}


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_every_shipped_file_loads_and_differs_from_the_first_in_what_it_says_alone(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    base, other = (load_settings(file).model_dump(mode="json") for file in (CONFIG, path))

    assert content.pop("base") == CONFIG.name
    for section, values in content.items():
        said = {name: base[section].pop(name) != other[section].pop(name) for name in values}
        # A window is told whole, even if one end of it is the same.
        window = {"start_date", "end_date"} if said.get("start_date") or said.get("end_date") else set()
        assert [name for name, is_new in said.items() if not is_new and name not in window] == [], section
    assert other == base


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_every_key_of_another_shipped_file_is_explained_there_or_in_the_first(path: Path) -> None:
    explained = {match[1] for line in config_lines() if (match := re.match(r" *(\w+):", line))}
    explained |= {field for field in TABLE_FIELDS if any(re.search(rf"\b{field}\b", line) for line in config_lines())}
    lines = path.read_text(encoding="utf-8").splitlines()
    keys = {match[1]: index for index, line in enumerate(lines) if (match := re.match(r" *(\w+):", line))}
    within = set(re.findall(r"[{,] *(\w+):", "\n".join(lines)))

    assert len(keys) >= 5
    assert [key for key, index in keys.items() if key not in explained and not has_comment_above(lines, index)] == []
    assert within <= explained


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_another_shipped_file_begins_with_how_it_is_used(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert text.startswith("# ")
    assert f"--config config/{path.name}" in text.partition("base:")[0]
