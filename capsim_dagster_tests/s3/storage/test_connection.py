"""Where endpoint and region of a bucket come from when the settings name none."""

import pytest

from capsim_dagster.storage.connection import Connection

pytestmark = pytest.mark.usefixtures("aws_environment")


@pytest.mark.parametrize(
    ("configured", "environment", "expected"),
    [
        (None, {}, None),
        (None, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "http://127.0.0.1:1"),
        (
            None,
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:2/"},
            "http://127.0.0.1:2",
        ),
        ("http://127.0.0.1:3", {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:2"}, "http://127.0.0.1:3"),
    ],
)
def test_the_endpoint_is_the_configured_one_else_that_of_the_environment_else_aws(
    configured: str | None, environment: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    connection = Connection("telemetry", endpoint_url=configured)

    assert connection.endpoint == expected
    assert connection.where == (expected or "AWS S3")
    assert connection.client().config.get("endpoint_url_s3") == expected


@pytest.mark.parametrize(
    ("configured", "environment", "expected"),
    [
        (None, {}, "us-east-1"),
        (None, {"AWS_DEFAULT_REGION": "eu-north-1"}, "eu-north-1"),
        (None, {"AWS_DEFAULT_REGION": "eu-north-1", "AWS_REGION": "eu-west-3"}, "eu-west-3"),
        ("auto", {"AWS_REGION": "eu-west-3"}, "auto"),
    ],
)
def test_the_region_is_the_configured_one_else_that_of_the_environment_else_the_first(
    configured: str | None, environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert Connection("telemetry", region=configured).client().config["region"] == expected


def test_a_large_transfer_is_given_more_time_than_a_question() -> None:
    connection = Connection("telemetry")
    question, transfer = (connection.client(size).client_options or {} for size in (0, 200 << 20))

    assert [options["timeout"] for options in (question, transfer)] == ["10s", "1m 50s"]


def test_only_an_http_endpoint_is_spoken_to_in_the_clear() -> None:
    options = {
        endpoint: Connection("telemetry", endpoint_url=endpoint).client().client_options or {}
        for endpoint in ("http://127.0.0.1:1", "https://127.0.0.1:1", None)
    }

    assert {endpoint: str(found["allow_http"]) for endpoint, found in options.items()} == {
        "http://127.0.0.1:1": "true",
        "https://127.0.0.1:1": "false",
        None: "false",
    }
