"""The Dagster instance of a data directory: the same one for `capsim run`, `capsim ui` and a plain `dagster dev`.

`dagster.yaml` says how the instance is kept; its paths are put under the data directory in use.
"""

import errno
import fcntl
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import dagster as dg
import yaml
from sqlalchemy.exc import SQLAlchemyError

from capsim_dagster.errors import SettingsError, StorageError
from capsim_dagster.orchestration import dagster_private as private
from capsim_dagster.orchestration.dagster_private import CheckError, InstanceRef, WorkspaceFileTarget
from capsim_dagster.settings import shipped
from capsim_dagster.storage import DataLayout, atomic_path
from capsim_dagster.system_errors import clear_error

TEMPLATE: Final = "dagster.yaml"
"""As capsim brings it along: one in the current folder may be another project's."""
LOCATION: Final = "capsim_dagster"
"""Name of the code location; schedules and job history hang on it."""
MODULE: Final = "capsim_dagster.definitions"
"""What the code location loads."""
_TERMINAL: Final = {
    "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
}
"""Output belongs to the terminal: capturing it would redirect the progress bars into a file."""
WORKSPACE: Final = "workspace.yaml"
_CHECKOUT: Final = Path(__file__).parents[2]
_FULL_BYTES: Final = 1 << 18
"""With less left on a disk, SQLite cannot grow its files."""
_TEMPLATE_HOME: Final = "data/.dagster"
"""The home that the template names; replaced by the one in use."""


def prepare_home(layout: DataLayout) -> Path:
    """Write `dagster.yaml` for the data directory and return the folder that holds it (`DAGSTER_HOME`)."""
    home = layout.dagster_home
    config = yaml.safe_load(shipped(Path(TEMPLATE)).read_text(encoding="utf-8"))
    text = yaml.safe_dump(_relocated(config, home), sort_keys=False)
    _write_if_changed(home / TEMPLATE, text)
    return home


def workspace_files(layout: DataLayout, named: Path | None = None) -> list[Path]:
    """Return the workspaces that the UI loads: a team's own, where there is one, and then that of capsim.

    That of a team is the one named, or else in the current folder, or in the checkout. The last one wins where two
    locations share a name: that of capsim is the same one from any folder.

    Raises:
        SettingsError: If the team's cannot be used.
    """
    own = layout.dagster_home / WORKSPACE
    module = {"module_name": MODULE, "location_name": LOCATION}
    _write_if_changed(own, yaml.safe_dump({"load_from": [{"python_module": module}]}))
    candidates = [named] if named else [Path(WORKSPACE), _CHECKOUT / WORKSPACE]
    team = next((path for path in candidates if path.is_file()), None)
    if team is None:
        return [own]
    try:
        WorkspaceFileTarget([str(team)]).create_origins()
    except (OSError, yaml.YAMLError, dg.DagsterError, CheckError) as error:
        problem = str(error).partition("\n")[0]
        raise SettingsError(
            f"{team} is no workspace of code locations: {problem}", remedy="mend it, or name another with --workspace"
        ) from None
    return [team, own]


@contextmanager
def open_instance(layout: DataLayout) -> Iterator[dg.DagsterInstance]:
    """Open the instance of a data directory for a run in this terminal, making it where it is missing.

    Two processes that make it at once break each other's database, so the opening is locked.
    """
    home = prepare_home(layout)
    with (home / "opening.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _sound(home):
            instance = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=_TERMINAL))
            instance.get_runs(limit=1)
    with _sound(home), instance:
        yield instance


@contextmanager
def _sound(home: Path) -> Iterator[None]:
    """Say what to do about records that cannot be read or written."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        if shutil.disk_usage(home).free < _FULL_BYTES:
            # SQLite has many words for a full disk, "disk I/O error" among them.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(home)) from None
        known = clear_error(error)
        if known is None:
            raise
        raise StorageError(f"{home}: {known.found}", remedy=known.remedy) from error


def _write_if_changed(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _relocated(value: Any, home: Path) -> Any:  # noqa: ANN401 whatever YAML holds
    if isinstance(value, dict):
        return {key: _relocated(item, home) for key, item in value.items()}
    if isinstance(value, str) and (value == _TEMPLATE_HOME or value.startswith(f"{_TEMPLATE_HOME}/")):
        return str(home) + value.removeprefix(_TEMPLATE_HOME)
    return value


COMMAND_TAG: Final = "capsim/command"
"""Tag of a run: the command line that it is of."""
_URL_PASSWORD: Final = re.compile(r"://[^/\s@']*@")
_URL_SIGNATURE: Final = re.compile(r"(://[^\s?'#]*\?)[^\s'#]+")
_LONGEST: Final = 500
"""A tag is read in a list of runs; a command with a hundred days is none the clearer for all of them."""


def origin_of(job: str) -> private.RemoteJobOrigin:
    """Return the origin that a job has in the UI's code location."""
    module = private.LoadableTargetOrigin(executable_path=sys.executable, module_name=MODULE)
    location = private.ManagedGrpcPythonEnvCodeLocationOrigin(module, LOCATION)
    return private.RemoteRepositoryOrigin(location, private.SINGLETON_REPOSITORY_NAME).get_job_origin(job)


def without_secrets(text: str) -> str:
    """Return a text without user and password of its URLs, and without their queries: they may be signatures.

    >>> without_secrets("capsim panel load --input s3://key:secret@bucket/a.parquet?X-Amz-Signature=12 --strict")
    'capsim panel load --input s3://…@bucket/a.parquet?… --strict'
    """
    return _URL_SIGNATURE.sub(r"\1…", _URL_PASSWORD.sub("://…@", text))


def command_tag(command: str) -> dict[str, str]:
    """Return the tag that says which command a run is of."""
    shown = without_secrets(command)
    return {COMMAND_TAG: shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"}
