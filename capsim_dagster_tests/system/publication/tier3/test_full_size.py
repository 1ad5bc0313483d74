"""A day of 2,000 hosts goes the whole way by the commands of the README: archived, published, uploaded and verified."""

import hashlib
import re
import subprocess
import sys
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


class Site:
    """A data directory, and a bucket that its settings name.

    Attributes:
        data_dir: The data directory.
    """

    def __init__(self, folder: Path, bucket: str, endpoint: str) -> None:
        self.data_dir = folder / "data"
        self._settings = folder / "settings.yaml"
        self._settings.write_text(
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

    def run(self, *arguments: str, has_data_dir: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as a process of its own."""
        options = ["--config", str(self._settings)] + (["--data-dir", str(self.data_dir)] if has_data_dir else [])
        command = [sys.executable, "-m", "capsim_dagster.cli", *arguments, *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def words(result: subprocess.CompletedProcess[str]) -> str:
    """Return the output without the frames of tables."""
    return re.sub(r"[\u2500-\u257f\s]+", " ", result.stdout)


def test_a_day_of_two_thousand_hosts_is_archived_published_uploaded_and_verified_by_the_commands(
    bucket_name: str, s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    site, day = Site(tmp_path, bucket_name, s3_endpoint), ("--date", str(DAY))
    archived = site.run("archive", *day)
    uploaded = site.run("tier3", "export", *day, "--upload")
    local = site.run("tier3", "verify", "--local", str(site.published), has_data_dir=False)
    remote = site.run("tier3", "verify", "--remote", *day, has_data_dir=False)
    manifest, url = site.manifest, f"s3://{bucket_name}/{PREFIX}"

    for result in (archived, uploaded, local, remote):
        assert (result.returncode, result.stderr) == (0, ""), result
    assert f"{DAY} 24 {LINES:,} " in words(archived)
    assert "24 written" in archived.stdout
    assert f"{DAY} 24 {HOSTS:,} {LINES:,} 0 " in words(uploaded)
    assert f"written; {url} published" in words(uploaded)
    assert f"passed {site.published}: {CLAIMS} of {CLAIMS} claims hold, {LINES:,} rows" in local.stdout
    assert f"passed {url}: {CLAIMS} of {CLAIMS} claims hold, {LINES:,} rows" in remote.stdout
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
    again = site.run("tier3", "export", *day, "--upload")
    assert (again.returncode, f"unchanged; {url} unchanged" in words(again)) == (0, True), again


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def digests(endpoint: str, bucket: str) -> dict[str, str]:
    """Return the digest of each object of a bucket, read by another client."""
    client = s3_client(endpoint)
    keys = [found["Key"] for found in client.list_objects_v2(Bucket=bucket)["Contents"]]
    return {key: digest(client.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys}
