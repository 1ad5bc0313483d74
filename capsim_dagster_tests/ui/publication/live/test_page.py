"""The live page in a browser: the fleet as it is, going on by itself, and a token asked for where one is wanted."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from capsim_dagster_tests.support.browsing import keep
from capsim_dagster_tests.support.publication.live.fleets import at, live_fleet, options_for, running

if TYPE_CHECKING:
    from playwright.sync_api import Page

TOKEN = "sentinel-of-20-chars"  # noqa: S105 it opens nothing
CUT: Final = """() => [...document.querySelectorAll("body, body *")]
    .filter((each) => each.getBoundingClientRect().right > innerWidth
        || each instanceof HTMLElement && each.clientWidth && each.scrollWidth > each.clientWidth + 1)
    .map((each) => `${each.tagName} ${each.id} ${each.className}`)"""
"""What reaches over the right edge of the window, or of itself."""


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


def test_every_host_is_a_cell_that_is_found_and_reached_by_pointer_and_keys(tmp_path: Path, page: "Page") -> None:
    from playwright.sync_api import expect

    fleet = live_fleet()
    hosts = fleet.hosts.sort("region", "department", "host_id")
    department = hosts.item(0, "department")
    with running(fleet, options_for(tmp_path, speed=600.0)) as server:
        page.goto(server.url)
        cells, title = page.locator("#cells button"), page.locator("#host-title")
        expect(cells).to_have_count(12)
        assert cells.evaluate_all("all => all.map(each => each.ariaLabel)") == hosts["host_id"].to_list()
        cells.first.hover()
        expect(title).to_have_text(hosts.item(0, "host_id"))
        expect(page.locator("#host-said")).to_contain_text(department)
        expect(page.locator("#chart path.cpu")).to_have_attribute("d", re.compile("^M"))
        expect(page.locator("#chart")).to_have_attribute("aria-label", re.compile("cpu [0-9]+ to [0-9]+ percent"))

        page.get_by_role("searchbox").fill(f"{department} {hosts.item(0, 'host_id')}")
        expect(page.locator("#found")).to_have_text("1 of 12 hosts")
        page.get_by_role("searchbox").fill("")
        page.get_by_role("searchbox").press("Tab")
        page.keyboard.press("End")
        expect(title).to_have_text(hosts.item(-1, "host_id"))
        page.keyboard.press("ArrowLeft")
        expect(title).to_have_text(hosts.item(-2, "host_id"))
        page.keyboard.press("Escape")
        expect(page.locator("#host")).to_be_hidden()


def test_two_thousand_hosts_are_shown_whole_at_any_width_with_few_in_the_list_and_without_a_complaint(
    tmp_path: Path, page: "Page"
) -> None:
    from playwright.sync_api import expect

    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    options = options_for(tmp_path, start=at(12), speed=1.0, hot_percent=50.0)
    with running(live_fleet(num_servers=2_000), options) as server:
        page.goto(server.url)
        expect(page.locator("#cells button")).to_have_count(2_000, timeout=30_000)
        expect(page.locator("#hot tbody tr")).to_have_count(12)
        expect(page.locator("#hot-more")).to_have_text(re.compile("^and [0-9,]+ more$"))
        page.locator("#cells button").first.click()
        for width in (1_440, 768, 390):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(CUT) == []
        keep(page, "8_live_hosts_on_a_phone")

    assert complaints == []
