"""Takes page.png, a picture of the server's page: `python docs/images/page.py` (extra `dev`, and Chromium)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from tests.server.browser import Browser, chromium, serving  # noqa: E402
from vlmcli.demo import scenes  # noqa: E402
from vlmcli.demo.scenes import Scene, Shape  # noqa: E402

WIDTH, HEIGHT = 640, 1130


def main() -> None:
    """Ask about a drawn scene, look for its shapes, and write what the page shows beside this script."""
    with tempfile.TemporaryDirectory() as folder, serving("--models", "demo") as address, chromium() as driver:
        picture = Path(folder) / "scene.png"
        shapes = (
            Shape("circle", "red", (255, 0, 0), 24.0, 26.0, 12.0),
            Shape("square", "blue", (0, 0, 255), 98.0, 30.0, 13.0),
            Shape("triangle", "green", (0, 128, 0), 62.0, 50.0, 12.0),
        )
        scenes.draw(Scene(640, 360, "white", (255, 255, 255), shapes)).save(picture)
        browser = Browser(driver)
        browser.resize(WIDTH, HEIGHT)
        browser.media(scheme="light")
        driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        browser.open(address)
        browser.drop(picture)
        browser.ask("What is in this picture?")
        browser.answered()
        browser.id("find").click()
        browser.ask("each shape")
        browser.answered(2)
        driver.save_screenshot(str(HERE / "page.png"))


if __name__ == "__main__":
    main()
