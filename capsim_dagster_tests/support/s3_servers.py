"""S3 servers for tests, and a proxy before them that loses connections and answers that the store is busy.

Tests run against moto, or against the server that S3_TEST_ENDPOINT names; those that need what only moto can do always
run against moto. A conftest that imports the fixtures gives them to the tests beside it.
"""

import http.client
import os
import socket
import struct
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from moto.server import ThreadedMotoServer

from capsim_dagster.storage.bucket import Bucket
from capsim_dagster.storage.connection import Connection

SECRET = "sentinel-of-a-secret-key"  # noqa: S105 what messages are searched for
ACCESS_KEY = "SENTINELACCESSKEY"
BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
UNKNOWN = b"<Error><Code>NotImplemented</Code><Message>A header implies what is not implemented.</Message></Error>"
SKEWED = b"<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>"
CUT_AFTER_BYTES = 1_000


class Fault(Enum):
    """What becomes of a request."""

    BUSY = "answered 503, not passed on"
    UNKNOWN = "answered 501, not passed on"
    SKEWED = "answered 403 for the time it says, not passed on"
    UNCONDITIONAL = "passed on without its conditions"
    LOST_REQUEST = "the connection is reset in the middle of the body"
    LOST_ANSWER = "passed on; the connection is reset before the answer"
    CUT_ANSWER = "passed on; the connection is reset in the middle of the answer"


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server, and does to those of one method what `faults` say, in order; the last one stays.

    Attributes:
        seen: Methods and paths of the requests, in order of arrival.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: str, method: str, faults: list[Fault | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.method = method
        self.faults = list(faults)
        self.seen: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def count(self, method: str) -> int:
        return sum(seen == method for seen, _ in self.seen)

    def fault_of(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.seen.append((method, path))
            if method != self.method or not self.faults:
                return None
            return self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 as socketserver has it
        """Stay silent: that clients go away is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 as the base class names it
        pass

    def _relay(self) -> None:
        fault = self.server.fault_of(self.command, self.path)
        length = int(self.headers.get("Content-Length", 0))
        if fault is Fault.LOST_REQUEST:
            self.rfile.read(min(length, CUT_AFTER_BYTES))
            return self._reset()
        body = self.rfile.read(length)
        if fault is Fault.BUSY:
            return self._answer(503, {"Content-Type": "application/xml"}, BUSY)
        if fault in (Fault.UNKNOWN, Fault.SKEWED):
            status, said = (501, UNKNOWN) if fault is Fault.UNKNOWN else (403, SKEWED)
            return self._answer(status, {"Content-Type": "application/xml"}, said)
        if fault is Fault.UNCONDITIONAL:
            del self.headers["If-Match"], self.headers["If-None-Match"]
        status, headers, content = self._upstream(body)
        if fault is Fault.LOST_ANSWER:
            return self._reset()
        return self._answer(status, headers, content, is_cut=fault is Fault.CUT_ANSWER)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _relay  # noqa: N815 as the base class names them

    def _upstream(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.server.upstream, timeout=20)
        try:
            connection.request(self.command, self.path, body=body, headers=dict(self.headers))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes, *, is_cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if is_cut else content)
        if is_cut:
            self._reset()

    def _reset(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


@contextmanager
def proxy(upstream: str, method: str, *faults: Fault | None) -> Iterator[Proxy]:
    """Run a proxy before a server; None among the faults lets a request through."""
    server = Proxy(upstream, method, list(faults))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def silent_server() -> Iterator[str]:
    """Yield the endpoint of a server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def enforced_credentials(endpoint: str) -> Iterator[None]:
    """Let a moto server refuse keys that it does not know, and what their policies do not allow."""
    address = f"{endpoint}/moto-api/reset-auth"
    try:
        _post(address, b"0")
        yield
    finally:
        _post(address, b"inf")


def _post(address: str, body: bytes) -> None:
    request = urllib.request.Request(address, data=body, headers={"Content-Type": "text/plain"}, method="POST")  # noqa: S310 loopback
    with urllib.request.urlopen(request) as answer:  # noqa: S310 loopback
        answer.read()


@cache
def _started_moto() -> str:
    """Start one moto server for this process; it ends with it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


@pytest.fixture(scope="session")
def moto_endpoint() -> str:
    """Return the address of a moto server."""
    return _started_moto()


@pytest.fixture(scope="session")
def s3_endpoint() -> str:
    """Return the address of the S3 server that tests run against: moto where S3_TEST_ENDPOINT names none."""
    return os.environ.get("S3_TEST_ENDPOINT") or _started_moto()


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give the test credentials of its own, and keep the caller's away."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "no-such-file"))


@cache
def s3_client(endpoint: str) -> Any:  # noqa: ANN401 boto3 is not typed
    """Return a second client, to look at what the first one did."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
    )


@pytest.fixture
def bucket_name(s3_endpoint: str, aws_environment: None) -> str:  # noqa: ARG001 the environment is the point
    """Create a bucket and return its name."""
    name = f"capsim-{uuid.uuid4().hex}"
    s3_client(s3_endpoint).create_bucket(Bucket=name)
    return name


@pytest.fixture
def bucket(s3_endpoint: str, bucket_name: str) -> Bucket:
    """Return a bucket of its own for the test."""
    return Bucket(Connection(bucket_name, endpoint_url=s3_endpoint))
