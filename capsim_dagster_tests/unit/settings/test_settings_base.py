"""A settings file that is based on another says only what differs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from capsim_dagster.errors import SettingsError
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import load_settings
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.cases import each_case


def based(path: Path, base: object, content: dict[str, Any] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"base": base, **(content or {})}), encoding="utf-8")
    return path


def test_file_based_on_the_shipped_one_overrides_just_what_it_says(tmp_path: Path) -> None:
    content = {"data_generation": {"metrics": {"cpu": {"base_std": 0.25}}}, "refinery": {"resources": ["cpu"]}}
    settings = load_settings(based(tmp_path / "mine.yaml", str(CONFIG), content))

    expected = load_settings(CONFIG).model_dump()
    expected["data_generation"]["metrics"][Resource.CPU]["base_std"] = 0.25
    expected["refinery"]["resources"] = (Resource.CPU,)
    assert settings.model_dump() == expected


def test_file_that_says_nothing_but_its_base_is_the_same_as_its_base(tmp_path: Path) -> None:
    assert load_settings(based(tmp_path / "mine.yaml", str(CONFIG))) == load_settings(CONFIG)


def test_empty_section_is_as_in_the_base(tmp_path: Path) -> None:
    lower = based(tmp_path / "lower.yaml", str(CONFIG), {"storage": {"lock_timeout_seconds": 5}})

    upper = based(tmp_path / "upper.yaml", "lower.yaml", {"storage": None, "general": None})

    assert load_settings(upper) == load_settings(lower)


def test_bases_are_chained_and_the_nearest_wins(tmp_path: Path) -> None:
    lowest = {"data_generation": {"num_servers": 11, "random_seed": 1, "breach_threshold": 90}}
    middle = {"data_generation": {"num_servers": 22, "random_seed": 2}}
    based(tmp_path / "lowest.yaml", str(CONFIG), lowest)
    based(tmp_path / "middle.yaml", "lowest.yaml", middle)

    generation = load_settings(
        based(tmp_path / "top.yaml", "middle.yaml", {"data_generation": {"num_servers": 33}})
    ).data_generation

    assert (generation.num_servers, generation.random_seed, generation.breach_threshold) == (33, 2, 90)


def test_base_is_sought_from_the_file_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    based(tmp_path / "company" / "base.yaml", str(CONFIG), {"data_generation": {"num_servers": 44}})
    based(tmp_path / "teams" / "mine.yaml", "../company/base.yaml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert load_settings(Path("../teams/mine.yaml")).data_generation.num_servers == 44


def test_environment_and_command_line_beat_a_file_and_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = based(tmp_path / "mine.yaml", str(CONFIG), {"data_generation": {"num_servers": 11, "random_seed": 1}})
    monkeypatch.setenv("CAPSIM__DATA_GENERATION__NUM_SERVERS", "50")
    monkeypatch.setenv("CAPSIM_CONFIG", str(path))

    generation = load_settings(overrides={"data_generation": {"breach_threshold": 91}}).data_generation

    assert (generation.num_servers, generation.random_seed, generation.breach_threshold) == (50, 1, 91)


@each_case(
    ("base", "said"),
    [
        ("nowhere.yaml", r"nowhere\.yaml not found, named as base of .*mine\.yaml"),
        (".", r"not found, named as base of .*mine\.yaml"),
        ("mine.yaml", r"mine\.yaml is based on itself, named as base of .*mine\.yaml"),
        ("loop.yaml", r"mine\.yaml is based on itself, named as base of .*loop\.yaml"),
        ("broken.yaml", r"broken\.yaml is not YAML"),
        ("list.yaml", r"list\.yaml holds no sections"),
        (["config.yaml"], r"not found, named as base of .*mine\.yaml"),
    ],
)
def test_base_that_cannot_be_used_is_an_error_that_names_it(tmp_path: Path, base: object, said: str) -> None:
    based(tmp_path / "loop.yaml", "mine.yaml")
    (tmp_path / "broken.yaml").write_text("general: [1, 2")
    (tmp_path / "list.yaml").write_text("- 1")

    with pytest.raises(SettingsError, match=said) as caught:
        load_settings(based(tmp_path / "mine.yaml", base))

    assert caught.value.remedy


def test_wrong_setting_of_a_base_is_an_error_that_names_both_files(tmp_path: Path) -> None:
    base = based(tmp_path / "base.yaml", str(CONFIG), {"storage": {"folder": "x"}})
    path = based(tmp_path / "mine.yaml", "base.yaml")

    with pytest.raises(SettingsError, match=r"storage\.folder: no such setting") as caught:
        load_settings(path)

    assert f"{path}, its base {base}" in caught.value.remedy
