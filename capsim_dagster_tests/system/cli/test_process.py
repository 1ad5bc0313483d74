"""The process around a command: what it loads, exit codes, streams, and what it says when the system refuses."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from capsim_dagster.cli import capsim, main
from capsim_dagster_tests.conftest import ROOT
from capsim_dagster_tests.support.commands import Capsim
from capsim_dagster_tests.system.cli.test_run import SMALL

HEAVY = {
    "boto3", "dagster", "duckdb", "matplotlib", "numpy", "obstore", "pandas", "polars", "psutil", "pyarrow", "pydantic",
    "sqlalchemy", "starlette", "yaml",
}  # fmt: skip
ASK_FOR_HELP = """
import json, sys
from click.testing import CliRunner
from capsim_dagster.cli import capsim, main
runner = CliRunner()
said = {}
for arguments in json.loads(sys.argv[1]):
    said[" ".join(arguments)] = runner.invoke(capsim, arguments).exit_code
print(json.dumps([said, sorted(sys.modules)]))
"""


def every_command() -> dict[tuple[str, ...], click.Command]:
    found: dict[tuple[str, ...], click.Command] = {}
    context = click.Context(capsim)
    for name in capsim.list_commands(context):
        command = capsim.get_command(context, name)
        assert command is not None
        found[name,] = command
        found |= {(name, inner): of for inner, of in getattr(command, "commands", {}).items()}
    return found


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "mounted"
    folder.mkdir()
    command = ["/bin/mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if not Path("/bin/mount").exists() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk")
    yield folder
    subprocess.run(["/bin/umount", "--lazy", str(folder)], check=True)


def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "capsim_dagster.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
    )


def test_version_help_and_a_typo_load_nothing_heavy() -> None:
    asked = [["--version"], ["--help"], ["stauts"], *([*name, "--help"] for name in every_command())]

    finished = subprocess.run(
        [sys.executable, "-c", ASK_FOR_HELP, json.dumps(asked)], check=True, capture_output=True, text=True
    )

    said, modules = json.loads(finished.stdout)
    assert [name for name, code in said.items() if code] == ["stauts"]
    assert said["stauts"] == 2
    assert not HEAVY & {name.partition(".")[0] for name in modules}


def test_each_command_is_told_in_a_line_of_the_help() -> None:
    context = click.Context(capsim, max_content_width=110, terminal_width=110)
    told = capsim.get_help(context)

    assert [name for (name, *inner) in every_command() if not inner and f"\n  {name} " not in told] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", *SMALL], "error: /proc/nope/capsim_settings.yaml cannot be written: No such file or directory"),
        (["archive", *SMALL, "--date", "2023-01-02"], "the run history cannot be written"),
    ],
)
def test_data_directory_that_cannot_be_made_is_told_without_a_traceback(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["capsim", *arguments, "--data-dir", "/proc/nope"])

    # Whatever else it raised would be a traceback in a process of its own, and is one here.
    with pytest.raises(SystemExit) as ended:
        main()

    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.startswith(message)
    assert "-> name a --data-dir that can be written" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_full_disk_ends_a_run_with_what_to_do(mount: Path, loaded_capsim: Capsim) -> None:
    subprocess.run(["/bin/mount", "-o", "remount,size=6m", str(mount)], check=True)

    finished = loaded_capsim.done("run", "--hosts", "40", "--end", "2023-02-28", "--data-dir", mount / "data")

    said = finished.err + finished.out
    assert finished.wait() == 1
    assert "No space left on device" in said
    assert "free some space there" in said
    assert "Traceback" not in said


def test_read_only_data_directory_is_told_as_such(
    mount: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded_capsim: Capsim
) -> None:
    feed = tmp_path / "feed"
    (feed / "2024" / "01").mkdir(parents=True)
    lines = "".join(f"2024-01-{day:02d},h1,50.0,8\n" for day in range(1, 32))
    file = feed / "2024" / "01" / "cpu_utilization_202401.csv"
    file.write_text("date,host_id,cpu_p95,max_cores\n" + lines)
    monkeypatch.setenv("CAPSIM__REFINERY__RESOURCES", '["cpu"]')
    made = CliRunner().invoke(capsim, ["refine", "--feed", str(feed), "--data-dir", str(mount / "data")])
    subprocess.run(["/bin/mount", "-o", "remount,ro", str(mount)], check=True)
    # Where nothing has changed it only looks.
    file.write_text(file.read_text().replace("50.0", "51.0"))

    again = loaded_capsim.done("refine", "--feed", feed, "--data-dir", mount / "data")

    assert made.exit_code == 0, made.output
    assert again.wait() == 1
    assert "Read-only file system" in again.err
    assert "let this user write there" in again.err
    assert "move" not in again.err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_no_encoding_of_the_terminal_ends_a_command(
    encoding: str, tmp_path: Path, loaded_capsim: Capsim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)

    said = loaded_capsim.done("status", "--data-dir", tmp_path / "é")

    assert (said.wait(), said.err) == (0, "")
    assert "nothing is here yet -> capsim run" in said.out


def test_reader_that_goes_away_ends_a_command_quietly(tmp_path: Path) -> None:
    with start("status", "--json", "--data-dir", str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()

        assert process.stderr.read() == ""

    assert process.returncode in (1, 141)


def test_an_interrupt_that_comes_while_something_is_cleared_away_is_not_lost() -> None:
    code = """
import os, signal, sys, time
from capsim_dagster.cli.process import exit_code_of

class Cleared:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)

def work():
    cleared = Cleared()
    del cleared
    time.sleep(30)

sys.exit(exit_code_of(work))
"""
    began = time.monotonic()
    finished = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)

    assert finished.returncode == 143, finished.stderr
    assert "interrupted: what was complete stays" in finished.stderr
    assert time.monotonic() - began < 25  # it would have worked for 30
