"""What Dagster does not export stands in one module, which was read for one minor version of Dagster."""

import re
from importlib.metadata import version
from pathlib import Path

import capsim_dagster
from capsim_dagster.orchestration.dagster_private import KNOWN_MINOR_VERSION

PRIVATE = re.compile(r"^\s*(?:from|import) (?:dagster\._|dagster_shared)", re.MULTILINE)
PACKAGE = Path(capsim_dagster.__file__).parent


def test_another_minor_version_of_dagster_is_to_be_read_before_it_is_trusted() -> None:
    found = ".".join(version("dagster").split(".")[:2])

    assert found == KNOWN_MINOR_VERSION, (
        f"Dagster is {found}: look whether each name in orchestration/dagster_private.py is still there and means the "
        "same, whether the tables that orchestration/history.py reads are the same, run the slow tests of "
        "orchestration, and then name this version there"
    )


def test_no_other_module_imports_what_dagster_does_not_export() -> None:
    importing = {
        path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if PRIVATE.search(path.read_text())
    }

    assert importing == {"orchestration/dagster_private.py"}
