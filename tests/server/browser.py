"""`vlm serve` as a process, and its page in a browser as a person uses it."""

import base64
import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx2
from PIL import Image

from tests.server import live
from tests.support.program import SCENE

PATIENCE = 60
"""Seconds until something has gone wrong."""
CIRCLE, SQUARE = (60, 140, 241, 321), (400, 160, 561, 321)
"""Where the scene of the documentation has its red circle and its blue square, in pixels of 640 x 480."""
NEAR = 0.02
"""How far off the demo model's boxes may be, as a share of the picture's side."""


@contextmanager
def serving(*words):
    """`vlm serve` on a free port. Yields its address."""
    with live.serving(*words) as found:
        yield f"{found.url}/"


def second_model(address):
    """The name of a server's second model."""
    return httpx2.get(f"{address}v1/models").json()["data"][1]["id"]


def is_near(box, truth, size=(640, 480)):
    """Whether a box is about where it should be."""
    return all(abs(one - other) <= NEAR * size[at % 2] for at, (one, other) in enumerate(zip(box, truth, strict=True)))


def turned(folder):
    """The scene as a phone saves it that was held sideways: on its side, with EXIF that says so."""
    path = folder / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is the right side of the upright picture
    Image.open(SCENE).convert("RGB").transpose(Image.Transpose.ROTATE_90).save(path, quality=95, exif=exif)
    return path


def uri(path):
    """A file as a data URI."""
    return "data:application/octet-stream;base64," + base64.b64encode(Path(path).read_bytes()).decode()


class Missing(Exception):
    """There is no browser; what to install."""


@contextmanager
def chromium():
    """A headless Chromium, driven by selenium. Raises Missing."""
    try:
        from selenium import webdriver
    except ImportError:
        raise Missing("selenium is missing: pip install selenium") from None
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        raise Missing("Chromium or its driver is missing: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--disable-dev-shm-usage", "--window-size=820,900"):
        options.add_argument(argument)
    if sys.platform == "linux" and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # root's Chromium cannot start with one
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(driver)) as started:
        yield started


class Browser:
    """The page in a browser, as a person uses it."""

    def __init__(self, driver):
        self.driver = driver
        self.refusals = ()
        """Statuses that a test expects the page to get; the browser logs each as an error."""

    def open(self, address, model=""):
        """Load the page, and choose a model."""
        self.driver.get(address)
        if model:
            self.until(lambda: self.id("model").is_displayed(), "there is no choice of models")
            self.choose(model)

    def choose(self, model):
        """Choose a model."""
        from selenium.webdriver.support.ui import Select

        Select(self.id("model")).select_by_value(model)

    def id(self, name):
        return self.driver.find_element("id", name)

    def all(self, css):
        return self.driver.find_elements("css selector", css)

    def texts(self, css):
        return [one.text for one in self.all(css)]

    def script(self, code, *arguments):
        return self.driver.execute_script(code, *arguments)

    def until(self, holds, what):
        """Wait until something holds. Returns what it gave."""
        end = time.monotonic() + PATIENCE
        while not (found := holds()):
            assert time.monotonic() < end, f"{what}; the page says {self.id('error').text!r}"
            time.sleep(0.02)
        return found

    def drop(self, *paths):
        """Drop files onto the middle of the page, as the system does."""
        before = len(self.all("#tray li"))
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            event = {"type": kind, "x": 200, "y": 200, "data": data}
            self.driver.execute_cdp_cmd("Input.dispatchDragEvent", event)
        self.until(lambda: len(self.all("#tray li")) == before + len(paths), "the files did not arrive")

    def press(self, *keys):
        """Press keys, wherever the focus is."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def ask(self, text):
        """Write a question and press Enter."""
        self.id("question").send_keys(text, "\n")

    def answered(self, number=1):
        """Wait for so many answers. Returns their texts."""
        self.until(lambda: len(self.all(".answer .figures")) == number, f"there are not {number} answers")
        return self.texts(".answer .text")

    def media(self, **features):
        """Prefer something: scheme="dark"."""
        names = {"scheme": "prefers-color-scheme", "motion": "prefers-reduced-motion"}
        wishes = [{"name": names[name], "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wishes})

    def resize(self, width, height):
        """Be a window of this size, in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def errors(self):
        """What the browser has logged, but the refusals that are expected."""
        logged = [one["message"] for one in self.driver.get_log("browser") if one["level"] in ("SEVERE", "WARNING")]
        return [one for one in logged if not any(f"with a status of {status} " in one for status in self.refusals)]
