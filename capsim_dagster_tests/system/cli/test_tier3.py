"""`capsim tier3`: what it publishes, verifies and stores, what it ends with, and that no secret is ever shown."""

import datetime as dt
import gzip
import json
import re
import shutil
import stat
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from capsim_dagster.cli.tier3 import tier3
from capsim_dagster.errors import MasterError, SettingsError
from capsim_dagster.publication.archive import SampledFleet, write_hour
from capsim_dagster.settings import load_settings
from capsim_dagster.simulated.master import write_master
from capsim_dagster.storage import DataLayout
from capsim_dagster.storage.credentials import stored_credentials
from capsim_dagster_tests.conftest import CONFIG, inventory
from capsim_dagster_tests.support.publication.days import DAY, HOSTS, MINUTES, ROWS, START, write_day
from capsim_dagster_tests.support.s3_servers import aws_environment, bucket_name, s3_client, s3_endpoint

__all__ = ["aws_environment", "bucket_name", "s3_endpoint"]

pytestmark = pytest.mark.usefixtures("aws_environment")

SEED = 44
"""No host of that fleet has a gap on the day: one of twelve would be more than may be missing."""


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's configuration directory of this test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "capsim"


@pytest.fixture(scope="session")
def _archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    write_day(folder)
    return folder


@pytest.fixture
def data_dir(_archive: Path, tmp_path: Path) -> Path:
    """Return a data directory with a whole day in its archive."""
    shutil.copytree(_archive, tmp_path / "data")
    return tmp_path / "data"


def settings_file(folder: Path, storage: str = "") -> Path:
    path = folder / "settings.yaml"
    path.write_text(
        f"base: {CONFIG}\n"
        f"data_generation: {{num_servers: {HOSTS}, start_date: {START}, end_date: 2026-01-31, random_seed: {SEED}}}\n"
        f"archive: {{interval_minutes: {MINUTES}}}\n"
        f"storage: {{{storage}}}\n"
    )
    return path


@pytest.fixture(scope="session")
def _simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the archive of a day that is published from it, and the master of its month."""
    folder = tmp_path_factory.mktemp("simulated")
    settings = load_settings(settings_file(folder), {"storage": {"local_base_path": folder / "data"}})
    generation, layout = settings.data_generation, DataLayout(settings.data_dir)
    fleet = SampledFleet(generation, settings.archive, settings.panel.inbound_share, inventory(generation), DAY)
    for hour in range(24):
        write_hour(fleet, layout.archive, hour)
    write_master(generation, inventory(generation), layout.master, end=generation.end_date)
    exported = run(folder / "data", "export", "--date", str(DAY))
    assert exported.exit_code == 0, exported.output
    return folder / "data"


@pytest.fixture
def simulated(_simulated: Path, tmp_path: Path) -> Path:
    """Return a data directory with a published day, its archive and a master."""
    shutil.copytree(_simulated, tmp_path / "data")
    return tmp_path / "data"


def rewrite_footer(data_dir: Path, **facts: object) -> None:
    """Write the master again with a footer that says something else."""
    path = DataLayout(data_dir).master
    table, metadata = pq.read_table(path), pq.read_metadata(path)
    said = {**json.loads(metadata.metadata[b"capsim"]), **facts}
    with pq.ParquetWriter(path, table.schema.remove_metadata(), store_schema=False) as writer:
        writer.add_key_value_metadata({"capsim": json.dumps(said)})
        writer.write_table(table.replace_schema_metadata(None), row_group_size=metadata.row_group(0).num_rows)


def verify_parity(data_dir: Path, *arguments: str) -> Result:
    options = ["--local", str(published(data_dir)), "--data-dir", str(data_dir), *arguments]
    return CliRunner().invoke(tier3, ["verify", *options])


def run(data_dir: Path, *arguments: str, storage: str = "") -> Result:
    options = ["--config", str(settings_file(data_dir.parent, storage))]
    options += ["--data-dir", str(data_dir)] if arguments[0] == "export" else []
    return CliRunner().invoke(tier3, [*arguments, *options])


def words(result: Result) -> str:
    """Return the output without the frames of tables."""
    return re.sub(r"[\u2500-\u257f\s]+", " ", result.output)


def published(data_dir: Path) -> Path:
    return data_dir / "output" / "tier3_daily" / str(DAY)


def test_export_publishes_a_day_and_verify_passes_it(data_dir: Path) -> None:
    exported = run(data_dir, "export", "--date", str(DAY))
    verified = CliRunner().invoke(tier3, ["verify", "--local", str(published(data_dir))])

    assert exported.exit_code == 0, exported.output
    assert "2026-01-15 24 12 576 0 0.1 written" in words(exported)
    assert verified.exit_code == 0, verified.output
    assert verified.output == f"passed {published(data_dir)}: 25 of 25 claims hold, 576 rows\n"


def test_export_goes_on_after_a_day_that_is_refused_and_ends_with_one(data_dir: Path) -> None:
    result = run(data_dir, "export", "--date", "2026-01-14", "--date", str(DAY), "--date", "2999-01-01")

    assert result.exit_code == 1
    assert "2026-01-14 refused 2026-01-15 24 12 576 0 0.1 written 2999-01-01 refused" in words(result)
    assert "refused the archive has no hour of 2026-01-14" in words(result)
    assert "2999-01-01 has not come yet" in words(result)
    assert (published(data_dir) / "manifest.json").is_file()


def test_export_is_of_yesterday_unless_told_otherwise(data_dir: Path) -> None:
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    result = run(data_dir, "export")

    assert result.exit_code == 1
    assert f"the archive has no hour of {yesterday}" in words(result)


def test_a_dry_run_writes_nothing(data_dir: Path) -> None:
    result = run(data_dir, "export", "--date", str(DAY), "--dry-run", "--upload")

    assert result.exit_code == 0, result.output
    assert "would be written" in words(result)
    assert not (data_dir / "output").exists()


def test_an_incomplete_day_needs_the_word(data_dir: Path) -> None:
    (data_dir / "archive" / "20260115" / "07.jsonl.gz").unlink()
    refused = run(data_dir, "export", "--date", str(DAY))
    allowed = run(data_dir, "export", "--date", str(DAY), "--allow-incomplete")

    assert (refused.exit_code, allowed.exit_code) == (1, 0)
    assert "1 of 24 hours of 2026-01-15 are not whole: 07.jsonl.gz missing" in words(refused)
    assert "2026-01-15 23 12 552 0 0.1 written, incomplete" in words(allowed)


def test_verify_ends_with_one_and_names_the_claim_when_a_byte_is_wrong(data_dir: Path) -> None:
    run(data_dir, "export", "--date", str(DAY))
    path = published(data_dir) / "data.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    arguments = ["verify", "--local", str(path.parents[1]), "--date", str(DAY)]
    result, as_json = (CliRunner().invoke(tier3, [*arguments, *more]) for more in ([], ["--json"]))

    assert (result.exit_code, as_json.exit_code) == (1, 1)
    assert "error data_has_its_sha256 1" in words(result)
    assert f"failed {path.parent}" in words(result)
    assert json.loads(as_json.output)["passed"] is False


@pytest.mark.parametrize("arguments", [[], ["--local", "somewhere", "--remote"]], ids=["neither", "both"])
def test_verify_needs_to_be_told_where(arguments: list[str]) -> None:
    result = CliRunner().invoke(tier3, ["verify", *arguments])

    assert result.exit_code == 2
    assert "give either --local DIR or --remote" in result.output


def test_verify_compares_the_p95_with_the_master_of_a_data_directory(simulated: Path) -> None:
    result = verify_parity(simulated)
    found = json.loads(verify_parity(simulated, "--json").output)["findings"]

    assert result.exit_code == 0, result.output
    assert f"passed {published(simulated)}: 25 of 25 claims hold" in result.output
    assert [(each["passed"], each["severity"], each["message"]) for each in found if "master" in each["name"]] == [
        (True, "error", "")
    ]


def test_verify_names_the_host_whose_samples_are_not_what_the_master_says(simulated: Path) -> None:
    for path in (simulated / "archive" / "20260115").iterdir():
        lines = [json.loads(text) for text in gzip.decompress(path.read_bytes()).splitlines()]
        changed = [{**line, "cpu": 99.5} if line["host_id"] == "srv-000007" else line for line in lines]
        path.write_bytes(gzip.compress("".join(f"{json.dumps(line)}\n" for line in changed).encode()))
    exported = run(simulated, "export", "--date", str(DAY))
    result, alone = verify_parity(simulated), run(simulated, "verify", "--local", str(published(simulated)))

    assert (exported.exit_code, result.exit_code, alone.exit_code) == (0, 1, 0), exported.output
    its = [("date", "=", DAY), ("host_id", "=", "srv-000007"), ("resource", "=", "cpu")]
    [p95] = pq.read_table(DataLayout(simulated).master, columns=["p95_util"], filters=its)["p95_util"].to_pylist()
    said = f"srv-000007 cpu: 99.50 by the samples, {p95:.2f} by the master"
    assert f"error p95_is_that_of_the_master 1 {said}" in words(result)


def test_verify_does_not_judge_a_day_that_the_master_does_not_reach(simulated: Path) -> None:
    rewrite_footer(simulated, end="2026-01-14")
    result = verify_parity(simulated)

    assert result.exit_code == 0, result.output
    assert "info p95_is_that_of_the_master 0 not judged: the master reaches from 2026-01-01 to 2026-01-14" in words(
        result
    )


def test_verify_says_once_that_the_master_is_of_another_fleet(simulated: Path) -> None:
    rewrite_footer(simulated, seed=7)
    result = verify_parity(simulated)

    assert result.exit_code == 1
    assert "error p95_is_that_of_the_master 1 not compared: the master is of another fleet, of seed 7" in words(result)


def test_verify_without_the_master_that_it_was_told_of_names_the_command_that_makes_it(simulated: Path) -> None:
    DataLayout(simulated).master.unlink()
    result = verify_parity(simulated)

    assert isinstance(result.exception, MasterError)
    assert "capsim run" in result.exception.remedy


def test_verify_with_a_master_still_says_what_is_wrong_with_the_files(simulated: Path) -> None:
    (published(simulated) / "manifest.json").unlink()
    result = verify_parity(simulated)

    assert result.exit_code == 1
    assert "error files_are_there 1 manifest.json is missing" in words(result)


def test_upload_without_a_bucket_names_the_command_that_stores_one(data_dir: Path) -> None:
    result = run(data_dir, "export", "--date", str(DAY), "--upload")

    assert isinstance(result.exception, SettingsError)
    assert "capsim tier3 configure" in result.exception.remedy


def configure(*answers: str) -> Result:
    return CliRunner().invoke(tier3, ["configure"], input="".join(f"{answer}\n" for answer in answers))


def test_configure_stores_what_was_typed_and_never_shows_the_secret(configuration: Path) -> None:
    result = configure("https://s3.example.com/", "telemetry", "auto", "SOMEKEY", "typed-sentinel")
    stored = stored_credentials()

    assert result.exit_code == 0, result.output
    assert stored is not None
    assert (stored.endpoint_url, stored.bucket, stored.region) == ("https://s3.example.com", "telemetry", "auto")
    assert (stored.access_key_id, stored.secret_access_key) == ("SOMEKEY", "typed-sentinel")
    assert stat.S_IMODE((configuration / "credentials").stat().st_mode) == 0o600
    assert "typed-sentinel" not in result.output
    assert f"stored in {configuration / 'credentials'}" in result.output


def test_configure_asks_again_for_what_cannot_be(configuration: Path) -> None:
    answers = (
        "https://key:typed-sentinel@host",
        "",
        "Bad_Bucket",
        "telemetry",
        "",
        "two words",
        "SOMEKEY",
        "",
        "s3cret",
    )
    result = configure(*answers)

    assert result.exit_code == 0, result.output
    assert result.output.count("Error: ") >= 3
    assert (configuration / "credentials").is_file()


def test_configure_that_is_broken_off_stores_nothing(configuration: Path) -> None:
    result = configure("", "telemetry")

    assert result.exit_code == 1
    assert not configuration.exists()


def test_a_day_goes_to_the_bucket_and_is_verified_there(data_dir: Path, bucket_name: str, s3_endpoint: str) -> None:
    storage = f"bucket_name: {bucket_name}, endpoint_url: '{s3_endpoint}'"
    first, again = (run(data_dir, "export", "--date", str(DAY), "--upload", storage=storage) for _ in range(2))
    verified = run(data_dir, "verify", "--remote", "--date", str(DAY), storage=storage)
    keys = [each["Key"] for each in s3_client(s3_endpoint).list_objects_v2(Bucket=bucket_name)["Contents"]]

    assert f"written; s3://{bucket_name}/tier3/daily/{DAY} published" in words(first)
    assert f"unchanged; s3://{bucket_name}/tier3/daily/{DAY} unchanged" in words(again)
    assert (verified.exit_code, f"{ROWS} rows" in verified.output) == (0, True), verified.output
    assert keys == [f"tier3/daily/{DAY}/{name}" for name in ("data.parquet", "manifest.json")]


def test_stored_credentials_and_bucket_are_enough_to_upload_and_verify(
    data_dir: Path, bucket_name: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    configure(s3_endpoint, bucket_name, "", "SOMEKEY", "typed-sentinel")
    uploaded = run(data_dir, "export", "--date", str(DAY), "--upload")
    verified = run(data_dir, "verify", "--remote", "--date", str(DAY))
    missing = run(data_dir, "verify", "--remote", "--date", "2026-01-14")

    assert (uploaded.exit_code, verified.exit_code, missing.exit_code) == (0, 0, 1)
    assert "data.parquet is missing" in words(missing)
    assert "sentinel" not in uploaded.output + verified.output + missing.output


def test_other_content_in_the_bucket_is_refused_and_replaced_if_told(
    data_dir: Path, bucket_name: str, s3_endpoint: str
) -> None:
    storage = f"bucket_name: {bucket_name}, endpoint_url: '{s3_endpoint}'"
    run(data_dir, "export", "--date", str(DAY), "--upload", storage=storage)
    for path in (data_dir / "archive" / "20260115").iterdir():
        path.unlink()
    write_day(data_dir, HOSTS - 1)
    refused = run(data_dir, "export", "--date", str(DAY), "--upload", storage=storage)
    replaced = run(data_dir, "export", "--date", str(DAY), "--upload", "--replace", storage=storage)

    assert (refused.exit_code, replaced.exit_code) == (1, 0)
    assert "upload refused" in words(refused)
    assert "is published with other content" in words(refused)
    assert f"s3://{bucket_name}/tier3/daily/{DAY} replaced" in words(replaced)


def test_a_day_in_the_bucket_is_compared_with_the_master_too(
    simulated: Path, bucket_name: str, s3_endpoint: str
) -> None:
    storage = f"bucket_name: {bucket_name}, endpoint_url: '{s3_endpoint}'"
    run(simulated, "export", "--date", str(DAY), "--upload", storage=storage)
    arguments = ("verify", "--remote", "--date", str(DAY), "--data-dir", str(simulated))
    right = run(simulated, *arguments, storage=storage)
    rewrite_footer(simulated, seed=7)
    wrong = run(simulated, *arguments, storage=storage)

    assert (right.exit_code, wrong.exit_code) == (0, 1), right.output
    assert "of seed 7" in words(wrong)
    assert f"failed s3://{bucket_name}/tier3/daily/{DAY}" in words(wrong)
