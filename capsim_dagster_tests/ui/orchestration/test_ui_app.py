"""Who may drive the UI: Dagster's real application behind the guard, asked as browsers ask for pages of others."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from urllib.parse import quote

import dagster as dg
import httpx
import pytest
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster_webserver.webserver import DagsterWebserver
from starlette.types import ASGIApp
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from capsim_dagster.orchestration.instance import open_instance
from capsim_dagster.orchestration.keys import AUDIT_URL, PICTURES_URL
from capsim_dagster.orchestration.ui_server import ui_app
from capsim_dagster.storage import DataLayout

HOST = "127.0.0.1:3000"
OWN = {"host": HOST, "origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}
VISIT = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
ASSET = dg.AssetKey("processed_data")
WIPE = 'mutation { wipeAssets(assetPartitionRanges: [{assetKey: {path: ["processed_data"]}}]) { __typename } }'

FOREIGN = {
    "a page of another site": {"origin": "http://cats.example"},
    "a page of another server on this machine": {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-site"},
    "a page from a file": {"origin": "null"},
    "an image on another page": {
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "no-cors",
        "sec-fetch-dest": "image",
    },
    "a frame on another page": {**VISIT, "sec-fetch-dest": "iframe"},
    "a name of another site that leads here": {"host": "cats.example:3000", "origin": "http://cats.example:3000"},
    "a name that only begins like this machine": {"host": "localhost.cats.example:3000"},
}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> DataLayout:
    return DataLayout(tmp_path_factory.mktemp("ui"))


@pytest.fixture(scope="module")
def _opened(layout: DataLayout) -> Iterator[tuple[dg.DagsterInstance, httpx.Client]]:
    """Serve Dagster's application once: to make it takes seconds."""
    with open_instance(layout) as instance, WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context:
        app = ui_app(DagsterWebserver(context).create_asgi_app(), instance, layout, host="127.0.0.1")
        with served(app) as address, httpx.Client(base_url=address, timeout=30) as asking:
            yield instance, asking


@pytest.fixture
def instance(_opened: tuple[dg.DagsterInstance, httpx.Client]) -> dg.DagsterInstance:
    """Return the instance behind it, with the history of an asset."""
    _opened[0].report_runless_asset_event(dg.AssetMaterialization(ASSET))
    return _opened[0]


@pytest.fixture
def client(_opened: tuple[dg.DagsterInstance, httpx.Client]) -> httpx.Client:
    return _opened[1]


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Yield the address of a server of an application; it is gone afterwards."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        thread = Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_another_page_sends_changes_nothing_and_is_told_nothing(
    client: httpx.Client, instance: dg.DagsterInstance, headers: dict[str, str]
) -> None:
    sent = {**headers, "content-type": "text/plain"}

    posted = client.post("/graphql", content=json.dumps({"query": WIPE}), headers=sent)
    answers = [
        client.get(path, headers=headers) for path in ("/server_info", f"/graphql?query={quote(WIPE)}", AUDIT_URL)
    ]

    assert [answer.status_code for answer in (posted, *answers)] == [403] * 4
    assert instance.has_asset_key(ASSET)


@pytest.mark.parametrize("headers", [{}, VISIT, OWN], ids=["no browser", "a link that was followed", "own page"])
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_nothing_is_changed_by_an_address(
    client: httpx.Client, instance: dg.DagsterInstance, headers: dict[str, str], accept: str
) -> None:
    answer = client.get(f"/graphql?query={quote(WIPE)}", headers={**headers, "accept": accept})

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert instance.has_asset_key(ASSET)


@pytest.mark.parametrize("headers", [{}, OWN, {**OWN, "host": "localhost:9", "origin": "http://localhost:9"}])
def test_its_own_page_a_script_and_a_tunnel_drive_the_ui(
    client: httpx.Client, instance: dg.DagsterInstance, headers: dict[str, str]
) -> None:
    answer = client.post("/graphql", json={"query": WIPE}, headers=headers)

    assert answer.json() == {"data": {"wipeAssets": {"__typename": "AssetWipeSuccess"}}}
    assert not instance.has_asset_key(ASSET)


def test_a_link_from_elsewhere_opens_the_ui(client: httpx.Client) -> None:
    assert client.get("/assets/processed_data", headers=VISIT).status_code == 200
    assert client.post("/graphql", data={"query": WIPE}, headers=VISIT).status_code == 403


def test_events_are_streamed_to_its_own_page_alone(client: httpx.Client) -> None:
    address = f"ws://{client.base_url.netloc.decode()}/graphql"
    protocol = Subprotocol("graphql-ws")
    with connect(address, origin=Origin(f"http://{client.base_url.netloc.decode()}"), subprotocols=[protocol]) as own:
        own.send('{"type": "connection_init"}')
        assert json.loads(own.recv(timeout=30)) == {"type": "connection_ack"}

    with pytest.raises(InvalidStatus, match="403"), connect(address, origin=Origin("http://cats.example")):
        pass


def test_picture_is_drawn_as_it_is_asked_for_and_can_do_nothing(client: httpx.Client) -> None:
    shown = client.get(f"{PICTURES_URL}/master_parquet/varieties", headers=OWN)

    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/svg+xml")
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert "This picture cannot be drawn now" in shown.text
    assert client.get(f"{PICTURES_URL}/processed_data/varieties", headers=OWN).status_code == 404


def test_audit_page_is_served_as_it_is_now_and_can_do_nothing(client: httpx.Client, layout: DataLayout) -> None:
    missing = client.get(AUDIT_URL)
    layout.audit.parent.mkdir()
    for text in ("first", "second"):
        layout.audit.write_text(text, encoding="utf-8")
        answer = client.get(AUDIT_URL)
        assert (answer.status_code, answer.text) == (200, text)

    assert (missing.status_code, "capsim audit" in missing.text) == (404, True)
    for headers in (answer.headers, missing.headers):
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/capsim/", "/capsim/refinery.html", f"{AUDIT_URL}/../../secret.txt", "/capsim/..%2F"]
)
def test_no_other_file_is_served(client: httpx.Client, layout: DataLayout, path: str) -> None:
    layout.audit.parent.mkdir(exist_ok=True)
    for file in (layout.audit, layout.root / "secret.txt"):
        file.write_text("of the data directory", encoding="utf-8")

    assert "of the data directory" not in client.get(path).text
