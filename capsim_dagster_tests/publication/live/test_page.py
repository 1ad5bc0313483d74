"""The live page in a browser: the fleet as it is, going on by itself, and a token asked for where one is wanted."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from capsim_dagster_tests.browsing import keep
from capsim_dagster_tests.publication.live.fleets import live_fleet, options_for, running

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

TOKEN = "sentinel-of-20-chars"  # noqa: S105 it opens nothing


def test_the_page_shows_regions_hot_hosts_and_a_time_that_goes_on(tmp_path: Path, page: "Page") -> None:
    from playwright.sync_api import expect

    with running(live_fleet(), options_for(tmp_path, speed=600.0, hot_percent=20.0)) as server:
        page.goto(server.url)
        expect(page.get_by_role("status")).to_have_text("live")
        expect(page.locator("#hot tbody tr").first).to_be_visible()
        regions = page.locator("#regions tbody tr")
        assert sum(int(regions.nth(row).locator("td").first.inner_text()) for row in range(regions.count())) == 12
        before = page.locator("#time").inner_text()
        expect(page.locator("#time")).not_to_have_text(before)
        keep(page, "7_live_fleet")


def test_the_page_asks_for_the_token_and_shows_the_fleet_to_who_knows_it(tmp_path: Path, page: "Page") -> None:
    from playwright.sync_api import expect

    with running(live_fleet(), options_for(tmp_path, speed=600.0, token=TOKEN)) as server:
        page.goto(server.url)
        expect(page.locator("#regions tbody tr")).to_have_count(0)
        page.get_by_label("Token of this server").fill("another-of-20-chars!")
        page.get_by_role("button", name="Show the fleet").click()
        expect(page.get_by_role("status")).to_have_text("that token is not the one")
        page.get_by_label("Token of this server").fill(TOKEN)
        page.get_by_role("button", name="Show the fleet").click()
        expect(page.get_by_role("status")).to_have_text("live")
        expect(page.locator("#regions tbody tr").first).to_be_visible()
