"""What a process does that exports a dataset and is killed meanwhile."""

from capsim_dagster_tests.support.child_process import READY


def export_code(module: str) -> str:
    """Return code that exports with the function `export` of a module of the tests, and says that it is done."""
    return f"""
from pathlib import Path
from {module} import export
{READY}
export(Path(sys.argv[1]))
print("done", flush=True)
"""


def export_until_code(module: str, exporter: str) -> str:
    """Return code that exports likewise, and waits to be killed before or after a step.

    Args:
        module: Module of the tests with the function `export`.
        exporter: Module whose function is the step.
    """
    package, _, name = exporter.rpartition(".")
    return f"""
from pathlib import Path
from {package} import {name} as module
from {module} import export
step, is_done = getattr(module, sys.argv[2]), int(sys.argv[3])
def stop(*arguments):
    if is_done:
        step(*arguments)
    {READY}
setattr(module, sys.argv[2], stop)
export(Path(sys.argv[1]))
"""
