"""What a small file of countless bad lines may cost: a process reads it in bounded memory."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from capsim_dagster_tests.support.refinery.readings import HEADER, with_header

SOUND = "2024-01-05,h1,5.5,16"
BOMBS = {"no fields": b"x\n", "blank": b"\n", "no number": b"2024-01-05,h1,abc,16\n", "twice": f"{SOUND}\n".encode()}
READ_IT = """
import resource, sys
from pathlib import Path
from capsim_dagster_tests.support.refinery.readings import read_path
def peak_mb(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
small, large = map(Path, sys.argv[1:])
read_path(small)
before = peak_mb()
try:
    read_path(large)
except Exception as refusal:
    print(type(refusal).__name__, getattr(refusal, "fault", ""), peak_mb() - before, sep=" ")
"""


@pytest.mark.parametrize("line", BOMBS.values(), ids=BOMBS)
def test_a_small_file_of_bad_lines_takes_bounded_memory(tmp_path: Path, line: bytes) -> None:
    small, bomb = tmp_path / "small.csv", tmp_path / "bomb.csv.gz"
    small.write_text(with_header(SOUND))
    # A file of several members is one file: what is the same in it is compressed once.
    many = gzip.compress(line * (1_200_000 // len(line)))
    ends = (gzip.compress(text.encode()) for text in (f"{HEADER}\n{SOUND}\n", "2024-01-09,h3,5.5,16\n"))
    bomb.write_bytes((many * 100).join(ends))

    child = subprocess.run(
        [sys.executable, "-c", READ_IT, small, bomb], capture_output=True, text=True, check=True, timeout=600
    )

    error, fault, megabytes = child.stdout.split()
    assert (error, fault) in {("FileRefused", "too_many_rejected"), ("FileRefused", "too_large")}
    assert int(megabytes) < 500
