"""The pictures of README and docs, taken of the demo once it is over and still runs: ``make pictures``.

Version 5 waits for its review then, and version 4 was taken back; Airflow is seen by ``admin``. The pictures of MLflow
are of the browser's tests (``make screenshots``).
"""

from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image
from selenium import webdriver

from browsing import Visitor, chromium
from perennial import ledger
from perennial.contracts.tags import CHALLENGER
from perennial.pipeline import open_runtime
from perennial.registry import alias_version
from perennial.settings import load_settings
from stack.credentials import load
from stack.environment import ADMIN

IMAGES = Path(__file__).parents[2] / "docs" / "images"
MODEL, RETURN = "flight_delay", "2013-06-04 to 2013-06-18"
"""The window in which the policy takes version 4 back."""
RUN = "replay__20130604T000000Z-20130618T000000Z__whole"
WIDE, TALL = 1200, 1600


def keep(driver: webdriver.Chrome, name: str, *, tallest: int = TALL) -> None:
    """The page that is open, as high as it is."""
    driver.set_window_size(WIDE, 800)
    height = int(driver.execute_script("return document.documentElement.scrollHeight"))
    driver.set_window_size(WIDE, min(tallest, height + 140))
    picture = Image.open(BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    picture.quantize(64).save(IMAGES / f"{name}.png", optimize=True)


def console(driver: webdriver.Chrome, person: Visitor, signoff: str) -> None:
    """The pages of the console, by day, and one by night; in quarantine is nothing any more."""
    model = f"/models/{MODEL}"
    for name, path in {"models": "/", "model": model}.items():
        person.open(path)
        keep(driver, f"console-{name}")
    person.open(f"{model}/reviews/{signoff}")
    keep(driver, "console-review")
    for name, words in {"decision": "2013-05-07 to", "rollback": RETURN}.items():
        person.open(model)
        person.follow(words)
        keep(driver, f"console-{name}")
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    person.open(model)
    keep(driver, "console-model-dark")
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def airflow(driver: webdriver.Chrome, person: Visitor) -> None:
    """The run of the monitor in which the policy took version 4 back, in Airflow's own grid."""
    driver.set_window_size(1500, 1000)
    driver.get(f"{person.site.url}/dags/{MODEL}__monitor/runs/{RUN}")
    person.wait(lambda: "Settle the bake" in person.text(), "the grid")
    Image.open(BytesIO(driver.get_screenshot_as_png())).convert("RGB").save(IMAGES / "airflow-grid.png", optimize=True)


def main() -> None:
    """Take them all. Raises what the browser, the stack or a page that is not there raises."""
    runtime = open_runtime(load_settings())
    secrets: Any = load(runtime.settings.home / "credentials.json")
    version = alias_version(runtime.registry, MODEL, CHALLENGER)
    signed = [one for one in ledger.entries(runtime.store, MODEL, kinds=["signoff"]) if one.version == version]
    with chromium() as driver:
        person = Visitor(
            driver, SimpleNamespace(url=runtime.settings.airflow_url, password=secrets.airflow_admin_password)
        )  # type: ignore[arg-type]
        person.log_in(ADMIN)
        console(driver, person, signed[-1].entry_id)
        airflow(driver, person)
    runtime.store.close()


if __name__ == "__main__":
    main()
