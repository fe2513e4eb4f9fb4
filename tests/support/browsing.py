"""The real browser that pages are opened in."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

PATIENCE_MS = 180_000
"""On a busy machine a page may take a minute; one that never comes still fails."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium, as Debian's package has it; the test is skipped without."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox"], timeout=PATIENCE_MS
        )
        yield started
        started.close()


def narrow_page(browser: Browser, color_scheme: Literal["light", "dark"] = "light") -> Page:
    """An empty page as wide as a telephone."""
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=color_scheme)
    page.set_default_timeout(PATIENCE_MS)
    page.set_default_navigation_timeout(PATIENCE_MS)
    return page
