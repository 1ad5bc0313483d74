"""A day of 2,000 hosts, 576,000 lines, goes the whole way by the commands of the README, and what each step costs."""

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from capsim_dagster.publication.dataset.manifest import parse_manifest
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.publication.days import DAY
from capsim_dagster_tests.support.s3_servers import s3_client

HOSTS: Final = 2_000
LINES: Final = HOSTS * 288
CLAIMS: Final = 25
PREFIX: Final = f"tier3/daily/{DAY}"
HOURS: Final = 8
"""Hours of that day that are published: their costs are told for one."""
EXPORT_READINGS: Final = 45
"""An export of the day, its start included, against plain Python reading the lines of one hour: seconds of a processor
whose cores others share are not those of an idle one. Measured: 27, where twenty other processes worked too."""
VERIFY_CPU_S: Final = 2.0
HOUR_CPU_S: Final = {"exporting": 0.22, "verifying": 0.15}
"""Of an hour; exporting is what goes beyond reading it."""
PENDING_CPU_S: Final = 0.5
"""Of the day's hours: their files and what is published are hashed, not unpacked."""
AGREEMENT_CPU_S: Final = 2.0
MEMORY_MIB: Final = 600
METER: Final = """
import json, os, subprocess, sys
with open(sys.argv[1], "w") as out:
    process = subprocess.Popen(sys.argv[2:], stdout=out)
    _, status, usage = os.wait4(process.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""
"""A small process between: Linux counts the memory of the starting process as the peak of the one it starts."""
_CHILD: Final = """
import gzip, json, sys, time
from pathlib import Path
from capsim_dagster.publication.dataset.export import site_of
from capsim_dagster.publication.hour_files import read_hour
from capsim_dagster.publication.lines import parse_lines
from capsim_dagster.publication.tier2.agree import agreement
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.tier2.export import export_hour, pending_hours
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier2.verify import hour_folders, verify_hour
from capsim_dagster.publication.tier3.verify import verify_dataset
from capsim_dagster.settings import load_settings
from capsim_dagster_tests.support.publication.days import DAY, NOW
data, hours = Path(sys.argv[1]), range(int(sys.argv[3]))
settings = load_settings(Path(sys.argv[2]), {"storage": {"local_base_path": data}})
site, published = site_of(settings, HourManifest), data / "output" / "tier3_daily" / str(DAY)
def cost(step):
    begin = time.process_time()
    done = step()
    return time.process_time() - begin, done
def read(hour):
    return parse_lines(read_hour(site.archive_root, DAY, hour)[1], hour, site.rule).rows.num_rows
def read_plainly():
    packed = (site.archive_root / f"{DAY:%Y%m%d}" / "00.jsonl.gz").read_bytes()
    return len([json.loads(line) for line in gzip.decompress(packed).splitlines()])
before, warm = cost(read_plainly)[0], read(0)
reading, lines = cost(lambda: [read(hour) for hour in hours])
exporting, done = cost(lambda: [export_hour(site, DayHour(DAY, hour), now=NOW) for hour in hours])
verifying, found = cost(lambda: [verify_hour(each.folder) for each in done])
pending, later = cost(lambda: pending_hours(site, [DAY], now=NOW))
agreeing, claims = cost(lambda: agreement(published, hour_folders(site.folder(DAY))))
daily, day = cost(lambda: verify_dataset(published, max_null_share=0.1))
after = cost(read_plainly)[0]
print(json.dumps({
    "plain": (before + after) / 2, "lines": sum(lines), "rows": [each.rows for each in found] + [day.rows],
    "passed": all(each.passed for each in [*found, day]), "open": [each.claim for each in claims if not each.passed],
    "later": len(later), "exporting": (exporting - reading) / len(hours),
    "verifying": verifying / len(hours), "pending": pending, "agreeing": agreeing, "day": daily,
}))
"""


@dataclass(frozen=True)
class Ended:
    """A command that has ended.

    Attributes:
        words: What it printed, without the frames of tables.
        errors: What it said beside that.
        code: Its exit code.
        cpu_s: User and system time, of its start too [s].
        peak_mib: Peak of resident memory [MiB].
    """

    words: str
    errors: str
    code: int
    cpu_s: float
    peak_mib: float


class Site:
    """A data directory, and a bucket that its settings name.

    Attributes:
        data_dir: The data directory.
        settings: The settings file.
    """

    def __init__(self, folder: Path, bucket: str, endpoint: str) -> None:
        self.data_dir = folder / "data"
        self.settings = folder / "settings.yaml"
        self._said = folder / "out", folder / "err"
        self.settings.write_text(
            f"base: {CONFIG}\n"
            f"data_generation: {{num_servers: {HOSTS}}}\n"
            f"storage: {{bucket_name: {bucket}, endpoint_url: '{endpoint}'}}\n"
        )

    @property
    def published(self) -> Path:
        return self.data_dir / "output" / "tier3_daily" / str(DAY)

    @property
    def manifest(self) -> DayManifest:
        return parse_manifest(DayManifest, (self.published / "manifest.json").read_bytes(), "")

    def run(self, *arguments: str, has_data_dir: bool = True) -> Ended:
        """Run a command as a process of its own."""
        options = ["--config", str(self.settings)] + (["--data-dir", str(self.data_dir)] if has_data_dir else [])
        command = [sys.executable, "-m", "capsim_dagster.cli", *arguments, *options]
        with self._said[1].open("w") as err:
            metered = [sys.executable, "-I", "-S", "-c", METER, str(self._said[0]), *command]
            told = subprocess.run(metered, stdout=subprocess.PIPE, stderr=err, check=True).stdout
        code, cpu_s, peak_kib = json.loads(told)
        words = re.sub(r"[\u2500-\u257f\s]+", " ", self._said[0].read_text())
        return Ended(words, self._said[1].read_text(), code, cpu_s, peak_kib / 1024)


def test_a_day_of_two_thousand_hosts_is_archived_published_uploaded_and_verified_by_the_commands_within_their_budget(
    bucket_name: str, s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    site, day = Site(tmp_path, bucket_name, s3_endpoint), ("--date", str(DAY))
    archived = site.run("archive", *day)
    uploaded = site.run("tier3", "export", *day, "--upload")
    remote = site.run("tier3", "verify", "--remote", *day, has_data_dir=False)
    manifest, url = site.manifest, f"s3://{bucket_name}/{PREFIX}"

    for result in (archived, uploaded, remote):
        assert (result.code, result.errors) == (0, ""), result
        assert result.peak_mib < MEMORY_MIB, result
    assert f"{DAY} 24 {LINES:,} " in archived.words
    assert "24 written" in archived.words
    assert f"{DAY} 24 {HOSTS:,} {LINES:,} 0 " in uploaded.words
    assert f"written; {url} published" in uploaded.words
    assert f"passed {url}: {CLAIMS} of {CLAIMS} claims hold, {LINES:,} rows" in remote.words
    assert (manifest.complete, manifest.hosts, manifest.rows, manifest.rejected) == (True, HOSTS, LINES, 0)
    assert [source.lines for source in manifest.sources] == [LINES // 24] * 24

    assert digests(s3_endpoint, bucket_name) == {
        f"{PREFIX}/data.parquet": manifest.data.hash,
        f"{PREFIX}/manifest.json": digest((site.published / "manifest.json").read_bytes()),
    }
    assert {source.path: source.hash for source in manifest.sources} == {
        f"{DAY:%Y%m%d}/{hour:02d}.jsonl.gz": digest(
            (site.data_dir / "archive" / f"{DAY:%Y%m%d}" / f"{hour:02d}.jsonl.gz").read_bytes()
        )
        for hour in range(24)
    }
    assert uploaded.cpu_s < EXPORT_READINGS * reading_of_an_hour(site)


def reading_of_an_hour(site: Site) -> float:
    """Publish hours of the day within their budget, verify and compare them, and return what reading one costs [s].

    It is read by Python alone.
    """
    command = [sys.executable, "-c", _CHILD, str(site.data_dir), str(site.settings), str(HOURS)]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert (said["lines"], said["rows"]) == (HOSTS * 12 * HOURS, [HOSTS * 4] * HOURS + [LINES])
    assert (said["passed"], said["open"], said["later"]) == (True, ["each_hour_of_the_day_is_published"], 24 - HOURS)
    assert {name: said[name] for name, most in HOUR_CPU_S.items() if said[name] >= most} == {}
    assert said["pending"] < PENDING_CPU_S
    assert said["agreeing"] < AGREEMENT_CPU_S
    assert said["day"] < VERIFY_CPU_S
    return float(said["plain"])


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def digests(endpoint: str, bucket: str) -> dict[str, str]:
    """Return the digest of each object of a bucket, read by another client."""
    client = s3_client(endpoint)
    keys = [found["Key"] for found in client.list_objects_v2(Bucket=bucket)["Contents"]]
    return {key: digest(client.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys}
