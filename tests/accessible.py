"""Whether a page can be read on a phone, reached by keyboard and told by a screen reader, as Chromium itself has it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
NAMED = {
    "link", "button", "textbox", "combobox", "checkbox", "image", "heading", "columnheader", "rowheader", "navigation",
    "DisclosureTriangle",
}  # fmt: skip
"""Roles whose elements say nothing to who does not see them, unless they have a name."""
_LISTEN = """
document.querySelectorAll('details').forEach(found => { found.open = true });
const can = 'a[href],button,input:not([type=hidden]),select,textarea,summary,[tabindex]';
window.controls = [...document.querySelectorAll(can)].filter(found => found.checkVisibility());
window.sliding = [...document.querySelectorAll('body *')].filter(found => {
  const slides = ['auto', 'scroll'].includes(getComputedStyle(found).overflowX);
  return slides && found.checkVisibility() && found.scrollWidth > found.clientWidth;
});
window.met = [];
document.addEventListener('focusin', event => {
  const drawn = getComputedStyle(event.target);
  window.met.push([event.target, drawn.outlineStyle !== 'none' && parseFloat(drawn.outlineWidth) > 0]);
});
return window.controls.length + window.sliding.length;
"""
_MET = """
const met = window.met.map(one => one[0]), place = found => met.indexOf(found);
const words = found => found.outerHTML.slice(0, 120);
const inOrder = window.controls.map(place).every((at, number, all) => number === 0 || at > all[number - 1]);
return [
  ...window.controls.filter(found => place(found) < 0).map(found => 'not reached: ' + words(found)),
  ...(inOrder ? [] : ['not in the order of the page']),
  ...window.met.filter(one => !one[1]).map(one => 'no sign of focus: ' + words(one[0])),
  ...window.sliding.filter(found => !met.some(one => found.contains(one))).map(found => 'not slid: ' + words(found)),
];
"""
_MARKUP = """
const ids = [...document.querySelectorAll('[id]')].map(found => found.id);
return {
  twice: ids.filter((id, number) => ids.indexOf(id) !== number),
  pictures: document.querySelectorAll('svg,img').length,
  headless: [...document.querySelectorAll('table')].filter(found => !found.querySelector('th[scope]')).length,
  language: document.documentElement.lang,
};
"""


@contextmanager
def on_a_phone(driver: webdriver.Chrome) -> Iterator[None]:
    """Pages are as wide as a phone meanwhile."""
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    try:
        yield
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def flaws(driver: webdriver.Chrome) -> list[str]:
    """What is amiss with the page that is open, in words; it has to have been opened on a phone."""
    return [*_too_wide(driver), *_untold(driver), *_unreached(driver)]


def _too_wide(driver: webdriver.Chrome) -> list[str]:
    """A page that is wider than the phone is shown smaller, and then the window is said to be wider, too."""
    found = driver.execute_script("return [innerWidth, document.documentElement.scrollWidth]")
    return [] if found == [PHONE["width"]] * 2 else [f"window and page are {found} wide"]


def _untold(driver: webdriver.Chrome) -> list[str]:
    """By the tree that Chromium gives to screen readers."""
    nodes = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    told = [(_said(node, "role"), _said(node, "name"), node) for node in nodes if not node["ignored"]]
    found = [f"a {role} has no name" for role, name, _ in told if role in NAMED and not name.strip()]
    count = Counter(role for role, *_ in told)
    top = [name for role, name, node in told if role == "heading" and _level(node) == 1]
    markup: dict[str, Any] = driver.execute_script(_MARKUP)
    found += [f"{len(top)} headings of the first level"] if len(top) != 1 else []
    found += [f"{count['main']} parts are the main one"] if count["main"] != 1 else []
    found += [f"{markup['pictures']} pictures, {count['image']} told"] if markup["pictures"] != count["image"] else []
    found += [f"{markup['headless']} tables without headings"] if markup["headless"] else []
    found += [f"the id {id} stands there twice" for id in markup["twice"]]
    return found if markup["language"] else [*found, "no language"]


def _said(node: dict[str, Any], what: str) -> str:
    return str(node.get(what, {}).get("value", ""))


def _level(node: dict[str, Any]) -> int:
    return next((one["value"]["value"] for one in node.get("properties", []) if one["name"] == "level"), 0)


def _unreached(driver: webdriver.Chrome) -> list[str]:
    """Everything that can be pressed or filled in, and all that slides in a box of its own, by the tab key alone."""
    n_stops = driver.execute_script(_LISTEN)
    ActionChains(driver).send_keys(Keys.TAB * n_stops).perform()
    found: list[str] = driver.execute_script(_MET)
    return found
