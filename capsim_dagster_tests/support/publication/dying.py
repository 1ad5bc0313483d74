"""What a process does that exports a dataset and is killed meanwhile."""

from capsim_dagster_tests.support.child_process import FORK, READY


def export_code(module: str) -> str:
    """Return code whose children export, and those that are told a step wait to be killed before or after it.

    Their arguments are the root, the name of a function of `capsim_dagster.publication.dataset.export`, and 1 = after.

    Args:
        module: Module of the tests with the function `export`.
    """
    return f"""
from pathlib import Path
from capsim_dagster.publication.dataset import export as exporter
from {module} import export
{FORK}
def stop(*arguments):
    if int(sys.argv[3]):
        step(*arguments)
    {READY}
if sys.argv[2:]:
    step = getattr(exporter, sys.argv[2])
    setattr(exporter, sys.argv[2], stop)
export(Path(sys.argv[1]))
"""
