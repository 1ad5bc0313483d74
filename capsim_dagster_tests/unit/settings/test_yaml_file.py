"""Any file may be named as the settings file: it ends early, and is told by name and key."""

import os
from pathlib import Path

import pytest
import yaml

from capsim_dagster.errors import SettingsError
from capsim_dagster.settings import load_settings
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.shipped_settings import shipped_settings

ALIAS_BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 10)}]\n" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@each_case(
    ("text", "said"),
    [
        (ALIAS_BOMB, "stands for more than 20,000 keys and values"),
        ("a: &a [*a]\n", "stands for more than 20,000 keys and values"),
        ("".join(f"key_{number}: 1\n" for number in range(20_001)), "stands for more than 20,000 keys and values"),
        ("a: " + "[" * 60 + "]" * 60, "levels deep"),
        ("[" * 5_000, "is not YAML|levels deep"),
        ("# " + "x" * (1 << 20), "longer than 1 MiB"),
        ("on: true\n", "the key 'on' is read as bool, and keys are text; put it in quotes"),
        ("live:\n  9477: port\n", "the key '9477' is read as int"),
        ("live:\n  ? [port]\n  : 1\n", "the key a list or mapping is read as seq"),
        ("general: \0\n", "is not YAML"),
    ],
)
def test_file_that_is_no_settings_ends_early_with_its_name(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path / "mine.yaml", text)

    with pytest.raises(SettingsError, match=said) as caught:
        load_settings(path)

    assert str(path) in caught.value.found


def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")

    for path, said in ((tmp_path / "pipe.yaml", "no regular file"), (Path("/dev/zero"), "no regular file")):
        with pytest.raises(SettingsError, match=f"{path} is {said}"):
            load_settings(path)
    with pytest.raises(SettingsError, match=f"{tmp_path} is a folder"):
        load_settings(tmp_path)


@each_case(
    ("section", "said"),
    [
        ("data_generation: {start_date: 2023-02-30}", "data_generation.start_date: found '2023-02-30'; "),
        ("data_generation: {random_seed: !!int seven}", "data_generation.random_seed: found 'seven'; "),
        ("live: {port: !!bool maybe}", "live.port: found 'maybe'; "),
        (f"live: {{port: {'9' * 5_000}}}", "live.port: found '9999"),
    ],
)
def test_value_that_only_looks_like_a_date_or_number_is_an_error_of_its_key(
    tmp_path: Path, section: str, said: str
) -> None:
    path = written(tmp_path / "mine.yaml", f"base: {CONFIG}\n{section}\n")

    with pytest.raises(SettingsError) as caught:
        load_settings(path)

    assert said in caught.value.found


@each_case("section", ["storage: {secret_access_key: p4ss}", "p4ss_word: p4ss", "storage: p4ss"])
def test_value_of_an_unknown_key_is_never_repeated(tmp_path: Path, section: str) -> None:
    path = written(tmp_path / "mine.yaml", f"base: {CONFIG}\n{section}\n")

    with pytest.raises(SettingsError) as caught:
        load_settings(path)

    assert "'p4ss'" not in str(caught.value)
    assert section.partition(":")[0] in caught.value.found


@each_case("prefix", ["../../x", "a//b", "/abs", "..", "a/../b", "", "a b"])
@each_case(
    ("section", "key"),
    [
        ("storage", "raw_prefix"),
        ("storage", "staged_prefix"),
        ("publication", "tier2_prefix"),
        ("publication", "tier3_prefix"),
    ],
)
def test_prefix_that_leads_out_of_the_bucket_is_refused(section: str, key: str, prefix: str) -> None:
    with pytest.raises(SettingsError, match=f"{section}.{key}: found .*expected a folder below bucket"):
        shipped_settings({section: {key: prefix}})


def test_settings_of_another_project_in_the_current_folder_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").mkdir()
    written(tmp_path / "config" / "config.yaml", "database: {host: db.example.com}\n")
    monkeypatch.chdir(tmp_path)

    assert load_settings() == load_settings(CONFIG)


def test_merge_keys_and_anchors_still_work(tmp_path: Path) -> None:
    content = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    text = yaml.safe_dump(content).replace("live:\n", "live:\n  <<: {max_backlog: 25}\n", 1)
    text = text.replace("  max_backlog: 24\n", "")

    assert load_settings(written(tmp_path / "mine.yaml", text)).live.max_backlog == 25
