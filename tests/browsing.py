"""Debian's Chromium for tests that look at pages as people do, and somebody who looks at the console with it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE_S = 60


class Site(Protocol):
    """An Airflow, and the password of everybody who may log in there."""

    @property
    def url(self) -> str: ...

    @property
    def password(self) -> str: ...


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


class Visitor:
    """Somebody at a browser."""

    def __init__(self, driver: webdriver.Chrome, site: Site) -> None:
        self.driver, self.site = driver, site

    def log_in(self, name: str) -> None:
        """As this user, and nobody else, in Airflow's own form, on the way to the console."""
        self.driver.delete_all_cookies()
        self.driver.get(f"{self.site.url}/auth/login/?next={self.site.url}/perennial/")
        self.type("username", name)
        self.type("password", self.site.password)
        self.press("button[type=submit]")
        self.wait(lambda: self.driver.current_url == f"{self.site.url}/perennial/", f"{name} is logged in")

    def open(self, path: str) -> str:
        """A page of the console by its own address."""
        self.driver.get(f"{self.site.url}/perennial{path}")
        return self.text()

    def text(self) -> str:
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def follow(self, words: str) -> str:
        """The link of these words, and what its page says."""
        before = self.driver.find_element(By.TAG_NAME, "html")
        self.act(By.XPATH, f"//a[contains(normalize-space(), '{words}')]", lambda found: found.click())
        self.wait(lambda: self.driver.find_element(By.TAG_NAME, "html") != before, f"the page of {words}")
        return self.text()

    def type(self, name: str, words: str) -> None:
        self.act(By.NAME, name, lambda found: found.send_keys(words))

    def press(self, selector: str) -> None:
        self.act(By.CSS_SELECTOR, selector, lambda found: found.click())

    def answer(self, button: str, reason: str) -> str:
        """Fill in the reason and press a button of the form; what the next page says."""
        before = self.driver.find_element(By.TAG_NAME, "html")
        self.type("reason", reason)
        self.press(f"form button[value='{button}']")
        self.wait(lambda: self.driver.find_element(By.TAG_NAME, "html") != before, f"what came of {button}")
        return self.text()

    def act(self, by: str, place: str, what: Callable[[Any], object]) -> None:
        def done() -> bool:
            what(self.driver.find_element(by, place))
            return True

        self.wait(done, place)

    def wait(self, until: Callable[[], object], what: str) -> None:
        again = (NoSuchElementException, StaleElementReferenceException, WebDriverException)
        WebDriverWait(self.driver, PATIENCE_S, 0.1, again).until(lambda _: until(), what)
