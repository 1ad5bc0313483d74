"""A history that several processes open before it is there."""

import subprocess
import sys
from pathlib import Path


def test_two_processes_open_a_new_instance_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from capsim_dagster.storage import DataLayout\n"
        "from capsim_dagster.orchestration.instance import open_instance\n"
        "with open_instance(DataLayout(Path(sys.argv[1]))) as i: print(i.get_runs_count())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]

    ended = [(process.communicate(timeout=120), process.returncode) for process in processes]

    assert [(out, code) for (out, _), code in ended] == [("0\n", 0), ("0\n", 0)], ended
