"""The distribution's browser, as a person uses it, and pictures of what it showed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from capsim_dagster_tests.conftest import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS: Final = 120_000
"""How long a page may take: the machine may have other things to do."""
SCREENSHOTS: Final = ROOT / "data" / "screenshots"


@contextmanager
def opened_page() -> "Iterator[Page]":
    """Yield an empty page of a browser; without one the test is skipped."""
    pytest.importorskip("playwright", reason="the dependency group ui is not installed: uv sync --group ui")
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)} is on the path")
    from playwright.sync_api import expect, sync_playwright

    # So long on a busy machine; elsewhere nobody waits for it.
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        # A container's root may not use the sandbox; the pages are our own.
        started = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"] if os.getuid() == 0 else [])
        page = started.new_page(viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield page
        started.close()


def keep(page: "Page", name: str) -> None:
    """Keep what a page shows as an artifact."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
