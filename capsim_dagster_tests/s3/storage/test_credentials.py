"""Credentials that a user has stored: for the owner alone, for their bucket alone, and after the environment."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from capsim_dagster.errors import StorageError
from capsim_dagster.storage.bucket import Bucket
from capsim_dagster.storage.connection import Connection
from capsim_dagster.storage.credentials import (
    StoredCredentials,
    credentials_path,
    store_credentials,
    stored_credentials,
)
from capsim_dagster_tests.support.s3_servers import SECRET

pytestmark = pytest.mark.usefixtures("aws_environment")

STORED = StoredCredentials("telemetry", "http://127.0.0.1:9", "auto", "STOREDKEY", "stored-sentinel")


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's configuration directory of this test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def without_keys(monkeypatch: pytest.MonkeyPatch, aws_environment: None) -> None:  # noqa: ARG001 it comes first
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


def keys_of(connection: Connection) -> tuple[str, str, str]:
    """Return region, key id and secret that requests are signed with."""
    region, provider = connection._session
    found = provider()
    return region, str(found["access_key_id"]), str(found["secret_access_key"])


def test_what_is_stored_is_read_back_and_only_the_owner_may_read_it(configuration: Path) -> None:
    path = store_credentials(STORED)

    assert path == credentials_path() == configuration / "capsim" / "credentials"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stored_credentials() == STORED
    assert [each.name for each in path.parent.iterdir()] == ["credentials"]


def test_storing_again_replaces_and_tightens_an_open_folder(configuration: Path) -> None:
    (configuration / "capsim").mkdir(parents=True, mode=0o755)
    store_credentials(STORED)
    path = store_credentials(replace(STORED, bucket="other"))

    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert (stored_credentials() or STORED).bucket == "other"


def test_without_xdg_config_home_they_lie_under_the_home_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")

    assert credentials_path() == tmp_path / ".config" / "capsim" / "credentials"
    assert stored_credentials() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"secret_access_key": "stored-sentinel"}', "\x00"])
def test_a_file_that_is_not_what_was_stored_is_refused_without_repeating_it(content: str) -> None:
    path = store_credentials(STORED)
    path.write_text(content)
    with pytest.raises(StorageError, match="is not what was stored") as raised:
        stored_credentials()

    assert "sentinel" not in f"{raised.value!r} {raised.value.__cause__!r}"


def test_a_file_that_others_may_read_is_refused() -> None:
    path = store_credentials(STORED)
    path.chmod(0o640)
    with pytest.raises(StorageError, match="may be read by others"):
        stored_credentials()


def test_no_representation_shows_the_keys() -> None:
    store_credentials(STORED)
    connection = Connection("telemetry")

    assert "STOREDKEY" not in repr(STORED)
    assert "sentinel" not in repr((STORED, connection, Bucket(connection)))


@pytest.mark.usefixtures("without_keys")
def test_stored_credentials_endpoint_and_region_are_used_for_their_bucket() -> None:
    store_credentials(STORED)
    connection = Connection("telemetry")

    assert connection.endpoint == "http://127.0.0.1:9"
    assert keys_of(connection) == ("auto", "STOREDKEY", "stored-sentinel")


@pytest.mark.parametrize(
    "connection",
    [Connection("other"), Connection("telemetry", endpoint_url="http://127.0.0.1:8")],
    ids=["bucket", "endpoint"],
)
@pytest.mark.usefixtures("without_keys")
def test_stored_credentials_are_not_used_for_another_bucket_or_endpoint(connection: Connection) -> None:
    store_credentials(STORED)

    with pytest.raises(StorageError, match="no credentials for bucket"):
        keys_of(connection)


def test_variables_of_the_environment_win(monkeypatch: pytest.MonkeyPatch) -> None:
    store_credentials(STORED)
    monkeypatch.setenv("AWS_REGION", "eu-west-3")

    assert keys_of(Connection("telemetry"))[::2] == ("eu-west-3", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:7")
    assert Connection("telemetry").endpoint == "http://127.0.0.1:7"


@pytest.mark.usefixtures("without_keys")
def test_a_bucket_is_reached_with_what_is_stored_alone(bucket_name: str, s3_endpoint: str, tmp_path: Path) -> None:
    store_credentials(StoredCredentials(bucket_name, s3_endpoint, "", "STOREDKEY", "stored-sentinel"))
    (tmp_path / "file").write_text(json.dumps({}))

    assert Bucket(Connection(bucket_name)).put("a/file", tmp_path / "file")
