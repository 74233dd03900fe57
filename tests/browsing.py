"""Debian's Chromium for tests that look at pages as people do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.service import Service


@contextmanager
def chromium(*, size: str = "1200,1600") -> Iterator[webdriver.Chrome]:
    """A browser without a window, gone afterwards. Raises FileNotFoundError where it is not installed, saying how."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (browser and driver):
        raise FileNotFoundError(
            "chromium and chromedriver are not installed: make browser, or apt-get install chromium chromium-driver"
        )
    options = webdriver.ChromeOptions()
    options.binary_location, options.page_load_strategy = browser, "eager"
    cheap = ("disable-gpu", "disable-extensions", "disable-background-networking", "disable-component-update")
    for said in (
        "headless=new",
        "no-sandbox",
        "disable-dev-shm-usage",
        "no-proxy-server",
        f"window-size={size}",
        *cheap,
    ):
        options.add_argument(f"--{said}")
    opened = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield opened
    finally:
        opened.quit()
