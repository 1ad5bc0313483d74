"""A person clicks through the UI in a browser; what they saw is kept under `data/screenshots`."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Final

import pytest

from capsim_dagster.definitions import build_definitions
from capsim_dagster.orchestration.instance import open_instance
from capsim_dagster.orchestration.keys import GROUND_TRUTH, HOST_INVENTORY, MASTER_PARQUET, MONTHLY_CSV, TIME_DIMENSION
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.conftest import MONTHS, small_settings
from capsim_dagster_tests.support.browsing import keep
from capsim_dagster_tests.support.orchestration.fixtures import QUIET
from capsim_dagster_tests.support.orchestration.reported import asking_for
from capsim_dagster_tests.support.orchestration.server import Server, serving, wait

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

MINUTE: Final = 60_000
"""Patience with runs and with the daemon, which looks for backfills every half minute [ms]."""

HISTORY: Final = """
query($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset { assetMaterializations { runId } } } }"""
WIPE: Final = (
    "mutation%20%7B%20wipeAssets%28assetPartitionRanges%3A%20%5B%7BassetKey%3A%7Bpath%3A%5B%22master_parquet%22%5D"
    "%7D%7D%5D%29%20%7B%20__typename%20%7D%20%7D"
)
OTHER_SITE: Final = f"""<h1>cute cats</h1>
<a href="UI_ADDRESS/graphql?query={WIPE}">more cats</a>
<form method="post" action="UI_ADDRESS/graphql?query={WIPE}"></form>
<script>
window.tried = [];
const tell = (what) => window.tried.push(what);
(async () => {{
  await new Promise((done) => {{
    const image = new Image();
    image.onload = () => {{ tell("image loaded"); done(); }};
    image.onerror = () => {{ tell("image refused"); done(); }};
    image.src = "UI_ADDRESS/graphql?query={WIPE}";
  }});
  const body = JSON.stringify({{query: decodeURIComponent("{WIPE}")}});
  const sent = await fetch("UI_ADDRESS/graphql?query={WIPE}", {{method: "POST", mode: "no-cors", body}});
  tell("post " + sent.type);
  await fetch("UI_ADDRESS/server_info").then(() => tell("read"), () => tell("read refused"));
  const socket = new WebSocket("UI_ADDRESS/graphql".replace("http", "ws"), "graphql-ws");
  socket.onopen = () => tell("socket open");
  socket.onerror = () => tell("socket refused");
}})();
</script>"""
"""A page that does what a page can do to a server on the machine of its reader."""


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Return a platform of which everything but the table was materialized in the terminal."""
    platform = Platform(small_settings(tmp_path_factory.mktemp("fed") / "data"))
    definitions = build_definitions(platform.settings, today=dt.date(2023, 8, 1))
    chosen = [HOST_INVENTORY, TIME_DIMENSION, MASTER_PARQUET, GROUND_TRUTH, *MONTHLY_CSV.values()]
    with open_instance(platform.layout) as instance:
        result = definitions.resolve_job_def("full_refresh").execute_in_process(
            instance=instance, tags=asking_for(MONTHS), asset_selection=chosen, run_config=QUIET
        )
    assert result.success
    return platform


@pytest.fixture(scope="module")
def ui(fed: Platform) -> Iterator[Server]:
    with serving(fed.layout.root, num_servers=12, end_date="2023-03-31") as server:
        yield server


def test_a_person_materializes_launches_a_backfill_and_sees_three_green_months(ui: Server, page: "Page") -> None:
    from playwright.sync_api import expect

    open_page(ui, page, "/overview")
    expect(page.get_by_text("Overview").first).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    keep(page, "1_first_page")

    open_page(ui, page, "/assets/master_parquet")
    page.get_by_role("button", name="Materialize").first.click()
    wait(lambda: ui.statuses() == ["SUCCESS", "SUCCESS"], "the run of master_parquet")
    open_page(ui, page, "/assets/master_parquet?view=checks")
    expect(page.get_by_text("Succeeded", exact=True)).to_have_count(5)
    keep(page, "2_master_parquet")
    assert_pictures_fit(ui, page, "/assets/master_parquet")

    open_page(ui, page, "/assets/processed_data?view=checks")
    expect(page.get_by_text("Checks (4)")).to_be_visible()
    # Four in the list, and the one that is open.
    expect(page.get_by_text("Not evaluated")).to_have_count(5)
    open_page(ui, page, "/assets/processed_data?view=partitions")
    expect(page.get_by_text("Materialized (0)")).to_be_visible()
    keep(page, "3_partitions_before")

    launch_backfill(page, "[2023-01-01...2023-03-01]")
    expect(page.get_by_text("Created backfill")).to_be_visible()
    keep(page, "4_backfill_launched")

    expect(page.get_by_text("Materialized (3)")).to_be_visible(timeout=2 * MINUTE)
    expect(page.get_by_text("Failed (0)")).to_be_visible()
    keep(page, "5_partitions_green")

    open_page(ui, page, "/assets/processed_data?view=checks")
    expect(page.get_by_text("Succeeded", exact=True)).to_have_count(4, timeout=MINUTE)
    page.get_by_text("row_parity", exact=True).first.click()
    page.get_by_role("tab", name="Partitions").last.click()
    expect(page.get_by_text("Passed (3)")).to_be_visible(timeout=MINUTE)
    keep(page, "6_checks_green")
    assert ui.months("processed_data") == dict.fromkeys(MONTHS, "MATERIALIZED")


def test_a_page_of_another_site_neither_changes_nor_reads_anything(ui: Server, page: "Page") -> None:
    """The image of `csrf.html` wiped the history of an asset; a form, a fetch and a socket would have as well."""
    before = materializations_of_master(ui)

    with page_elsewhere(OTHER_SITE.replace("UI_ADDRESS", ui.address)) as (address, attempts):
        page.goto(address)
        page.wait_for_function("window.tried && window.tried.length === 4", timeout=MINUTE)
        told = page.evaluate("window.tried")
        with page.expect_navigation(wait_until="networkidle"):
            page.evaluate("document.forms[0].submit()")
        formed = page.content()
        page.goto(f"{address}link")
        with page.expect_navigation(wait_until="networkidle"):
            page.get_by_role("link").click()

    assert told == ["image refused", "post opaque", "read refused", "socket refused"]
    assert "own pages only" in formed
    assert "sent by POST" in page.content()
    assert attempts, "the other page was served"
    assert materializations_of_master(ui) == before >= 1


def materializations_of_master(ui: Server) -> int:
    return len(ui.ask(HISTORY, key={"path": ["master_parquet"]})["assetOrError"]["assetMaterializations"])


@contextmanager
def page_elsewhere(html: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the address of another site, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        # The same machine under another name: another site to a browser.
        yield f"http://localhost:{server.server_port}/", asked
        server.shutdown()
        thread.join()


def assert_pictures_fit(ui: Server, page: "Page", path: str) -> None:
    """Open each picture of an asset, and see that it is neither cut off nor tiny."""
    for width in (1500, 1200, 900):
        page.set_viewport_size({"width": width, "height": 1000})
        open_page(ui, page, path)
        for link in page.get_by_text("[Show Markdown]").all():
            link.click()
            dialog = page.get_by_role("dialog")
            picture = dialog.locator("img")
            picture.wait_for()
            outer, inner = boxes_at_rest(dialog)
            assert outer["x"] <= inner["x"]
            assert inner["x"] + inner["width"] <= outer["x"] + outer["width"]
            assert inner["width"] > width / 2
            page.keyboard.press("Escape")
            dialog.wait_for(state="detached")


def launch_backfill(page: "Page", months: str) -> None:
    """Click through the dialog Materialize of an asset with months."""
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    # Dagster offers the last 90 days first; a fleet's window may lie before them.
    dialog.get_by_text("Show all partitions").click()
    months_input = dialog.get_by_role("textbox").first
    months_input.fill(months)
    months_input.press("Tab")
    dialog.get_by_role("button", name="Launch backfill").click()


def open_page(ui: Server, page: "Page", path: str) -> None:
    page.goto(ui.address + path)
    page.wait_for_load_state("networkidle")


def boxes_at_rest(dialog: "Locator") -> list[dict[str, float]]:
    """Return where a dialog and its picture are at one instant, once the dialog has opened: it grows while it does."""
    before: list[dict[str, float]] = []
    for _ in range(100):
        boxes: list[dict[str, float]] = dialog.evaluate(
            "dialog => [dialog, dialog.querySelector('img')].map(part => part.getBoundingClientRect().toJSON())"
        )
        if boxes == before:
            break
        before = boxes
        dialog.page.wait_for_timeout(100)
    return before
