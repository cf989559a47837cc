"""The page at `/`: its files, and the page in a real browser.

The browser tests need Chromium and its driver (Debian: `apt install chromium chromium-driver`). The one of
accessibility also needs axe-core: VLM_AXE is the path of its axe.min.js (`npm pack axe-core`).
"""

import os
import re
from html.parser import HTMLParser
from itertools import count
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from tests.server import browser as browsers
from tests.server.browser import CIRCLE, SQUARE, Browser, is_near, second_model, serving, turned, uri
from tests.support.program import SCENE
from vlmcli.server import page as served_page

KEY = "a key with ümlauts"


@pytest.fixture(scope="module")
def server(slow):
    """One with two models."""
    with serving("--models", f"demo,{slow / 'real.gguf'}", "--max-loaded", 2) as address:
        yield address


@pytest.fixture(scope="module")
def endless(server):
    """The name of the other model beside the demo: its answers have no end, and it cannot draw boxes."""
    return second_model(server)


@pytest.fixture(scope="module")
def locked():
    """One that wants a key, and takes little at once."""
    with serving("--models", "demo", "--api-key", KEY, "--max-body", 1) as address:
        yield address


# --- the files ---


class References(HTMLParser):
    """What a page refers to, and what of it is written inline."""

    def __init__(self, text):
        super().__init__()
        self.found, self.inline, self._in = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._in = tag
        for name, value in attributes:
            if name in ("src", "href", "srcset", "action", "data"):
                self.found.append(value)
            if name == "style" or name.startswith("on"):
                self.inline.append(name)

    def handle_data(self, data):
        if self._in in ("script", "style") and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag):
        self._in = ""


def test_the_page_refers_to_its_own_files_only():
    names = {path.removeprefix("/") for path in served_page.FILES}
    text = (served_page.FOLDER / "index.html").read_text("utf-8")
    references = References(text)
    assert {"page/page.js", "page/page.css"} <= set(references.found) <= names
    assert references.inline == []  # which the policy would not run
    imported = set()
    for file in served_page.FOLDER.glob("*.js"):
        source = file.read_text("utf-8")
        imported |= set(re.findall(r'^import .*from "\./(.+)";$', source, re.MULTILINE))
        assert len(re.findall(r"^import ", source, re.MULTILINE)) == len(re.findall(r'"\./.+";$', source, re.MULTILINE))
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|localStorage", source)
    assert imported | {"page.js"} == {file.name for file in served_page.FOLDER.glob("*.js")}
    for file in served_page.FOLDER.iterdir():
        assert file.suffix in served_page.TYPES, f"{file.name} would not be sent"
        code = re.sub(r"/\*.*?\*/", "", file.read_text("utf-8"), flags=re.DOTALL)
        addresses = set(re.findall(r"\w*:?//[\w.]+[\w./]*", code)) - {"http://www.w3.org/2000/svg"}
        assert not {one for one in addresses if ":" in one}, file.name
        assert not re.search(r"@import|url\(", code), file.name


def test_files_have_types_and_a_strict_policy_and_are_sent_once(locked):
    with httpx2.Client(base_url=locked) as client:
        assert len(served_page.FILES) > 6
        for path, file in served_page.FILES.items():
            got = client.get(path)
            assert (got.status_code, got.content) == (200, file.read_bytes()), path
            assert got.headers["content-type"] == served_page.TYPES[file.suffix]
            policy = got.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "http" not in policy
            assert "frame-ancestors 'none'" in policy
            assert got.headers["x-content-type-options"] == "nosniff"
            assert got.headers["cache-control"] == "no-cache"
            tag = got.headers["etag"]
            for known in (tag, f'"other", W/{tag}'):
                again = client.get(path, headers={"If-None-Match": known})
                assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
            assert client.head(path).headers["content-length"] == str(len(got.content))


def test_only_the_files_need_no_key(locked):
    with httpx2.Client(base_url=locked) as client:
        for path in ("v1/models", "vlm/detect", "page", "page/", "page/page.py", "page/..%2fpage.py", "page//page.js"):
            assert client.get(path).status_code == 401, path
    with httpx2.Client(base_url=locked, headers=[(b"Authorization", f"Bearer {KEY}".encode())]) as client:
        for path in ("page", "page/", "page/page.py", "page/..%2fpage.py", "page//page.js"):
            assert client.get(path).status_code == 404, path
        assert client.post("page/page.js").status_code == 405
        assert client.get("v1/models").status_code == 200


# --- the browser ---


@pytest.fixture(scope="module")
def chromium():
    """One browser for all tests of this module."""
    try:
        with browsers.chromium() as driver:
            yield driver
    except browsers.Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def browser(chromium):
    """The page's browser for one test, which must log no error and no violation of the policy."""
    one = Browser(chromium)
    one.errors()
    one.resize(820, 900)
    one.media()
    yield one
    assert one.errors() == []
    one.script("sessionStorage.clear()")


def test_a_dropped_picture_is_asked_about_and_the_answer_streams(browser, server):
    browser.open(server, "demo")
    browser.drop(SCENE)
    (shown,) = browser.all("#tray img")
    assert shown.get_attribute("alt") == "scene.png"
    assert browser.until(lambda: shown.size["height"] > 50 and shown.size["width"] > 50, "it is not shown")
    browser.script(
        "window.seen = new Set();"
        "new MutationObserver(() => seen.add(document.querySelector('.text')?.textContent))"
        ".observe(document.getElementById('turns'), {subtree: true, childList: true, characterData: true})"
    )
    browser.ask("Describe the picture in detail.")
    (answer,) = browser.answered()
    assert answer == "A red circle on the left and a blue square on the right. The background is white."
    pieces = sorted(filter(None, browser.script("return [...seen]")), key=len)
    assert len(pieces) >= 3 and all(answer.startswith(piece.rstrip()) for piece in pieces)
    assert re.fullmatch(
        r"Copy Wrote 19 tokens in \d+\.\d s, the first after \d+\.\d s\. Read 8\d tokens(, of which \d+ were known)?\.",
        browser.all(".figures")[0].text,
    )
    assert browser.id("status").get_attribute("textContent").strip() == answer  # a screen reader reads it out
    assert browser.all("#tray li") == []

    browser.ask("What color is the circle?")  # without the picture, which only the conversation has
    assert browser.answered(2)[1] == "The circle is red."
    browser.id("restart").click()
    assert browser.all("article") == [] and not browser.id("restart").is_displayed()
    browser.refusals = (400,)
    browser.ask("What color is the circle?")
    browser.until(lambda: "has no picture" in browser.id("error").text, "it still knows the picture")


def test_pictures_are_chosen_pasted_and_removed(browser, server, tmp_path):
    browser.open(server, "demo")
    other = tmp_path / "other.png"
    Image.new("RGB", (128, 128), "white").save(other)
    browser.id("files").send_keys(f"{SCENE}\n{other}")
    assert [one.get_attribute("alt") for one in browser.all("#tray img")] == ["scene.png", "other.png"]
    browser.script(
        "const data = new DataTransfer();"
        "const bytes = Uint8Array.from(atob(arguments[0].split(',')[1]), (letter) => letter.charCodeAt(0));"
        "data.items.add(new File([bytes], 'image.png', {type: 'image/png'}));"
        "document.getElementById('question').dispatchEvent("
        "new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true}))",
        uri(SCENE),
    )
    assert len(browser.all("#tray img")) == 3
    spoken = browser.id("status")  # to those who do not see the pictures
    assert spoken.get_attribute("textContent") == "Added image.png."
    for name, left in (("scene.png", 2), ("other.png", 1)):
        (button,) = browser.all(f"#tray button[aria-label='Remove {name}']")
        button.click()
        assert len(browser.all("#tray li")) == left
        assert spoken.get_attribute("textContent") == f"Removed {name}."
        assert browser.script("return document.activeElement.className") == "remove"
    browser.ask("What is shown?")
    assert browser.answered() == ["A red circle and a blue square."]


@pytest.mark.parametrize("how", ["Escape", "Stop"])
def test_a_long_answer_is_stopped(browser, server, endless, how):
    browser.open(server, endless)
    browser.drop(SCENE)
    browser.ask("hi")
    browser.until(lambda: any(browser.texts(".text")), "no answer has begun")
    under_way = "vlm_requests_under_way 1.0"
    assert under_way in httpx2.get(f"{server}metrics").text, browser.texts("article")
    if how == "Escape":
        browser.press("\ue00c")
    else:
        browser.id("stop").click()
    (answer,) = browser.answered()
    assert "Stopped." in browser.texts(".figures")[0] and not browser.id("stop").is_displayed()
    browser.until(lambda: under_way not in httpx2.get(f"{server}metrics").text, "the server goes on with it")
    assert browser.texts(".text") == [answer]
    assert browser.script("return document.activeElement.id") == "question"


def test_an_answer_that_is_stopped_before_it_begins_was_not_asked(browser, server):
    browser.open(server, "demo")
    browser.drop(SCENE)
    browser.script(
        "const real = fetch; window.fetch = (path, options) => new Promise((_, reject) => {"
        "  const end = () => { window.fetch = real; reject(options.signal.reason); };"
        "  if (options.signal.aborted) end(); else options.signal.addEventListener('abort', end); })"
    )
    browser.ask("What is shown?")
    browser.until(lambda: browser.id("stop").is_displayed(), "there is nothing to stop")
    browser.press("\ue00c")
    browser.until(lambda: not browser.all("article"), "the question is still in the conversation")
    assert browser.id("question").get_attribute("value") == "What is shown?"
    browser.press("\n")
    assert browser.answered() == ["A red circle and a blue square."]


def boxes(browser):
    """The boxes that are drawn, in shares of the picture as it is shown."""
    return browser.script(
        "const frame = document.querySelector('.frame img').getBoundingClientRect();"
        "return [...document.querySelectorAll('.box')].map((box) => {"
        "  const {left, top, right, bottom} = box.getBoundingClientRect();"
        "  return [(left - frame.left) / frame.width, (top - frame.top) / frame.height,"
        "          (right - frame.left) / frame.width, (bottom - frame.top) / frame.height]; })"
    )


@pytest.mark.parametrize("width", [820, 320])
@pytest.mark.parametrize("is_turned", [False, True], ids=["upright", "turned by EXIF"])
def test_boxes_are_drawn_where_things_are(browser, server, tmp_path, is_turned, width):
    browser.resize(width, 900)
    browser.open(server, "demo")
    browser.drop(turned(tmp_path) if is_turned else SCENE)
    browser.id("find").click()
    assert (browser.id("question-label").text, browser.id("ask").text) == ("What to find", "Find")
    browser.ask("each shape")
    browser.answered()
    assert browser.script("const image = document.querySelector('.frame img');"
                          "return [image.naturalWidth, image.naturalHeight]") == [640, 480]  # fmt: skip
    drawn = boxes(browser)
    for box, (left, top, right, bottom) in zip(drawn, (CIRCLE, SQUARE), strict=True):
        assert is_near(box, (left / 640, top / 480, right / 640, bottom / 480), (1, 1)), drawn
    assert browser.texts(".box .label") == ["1 red circle", "2 blue square"]
    first, second = browser.texts(".places li")
    assert re.fullmatch(r"red circle: left \d+, top \d+, right \d+, bottom \d+, score [01]\.\d\d", first)
    assert second.startswith("blue square: left ")
    colours = browser.script(
        "return [...document.querySelectorAll('.box')].map((one) => getComputedStyle(one).borderTopColor)"
    )
    assert colours == ["rgb(230, 159, 0)", "rgb(86, 180, 233)"]
    frame = browser.script("const box = document.querySelector('.frame').getBoundingClientRect();"
                           "return [...document.querySelectorAll('.label')].every((label) => {"
                           "  const at = label.getBoundingClientRect(); return at.left >= box.left - 5 &&"
                           "    at.right <= box.right + 5 && at.top >= box.top - 5; })")  # fmt: skip
    assert frame, "a label is cut off"
    browser.ask("each circle")  # about the picture that stays
    browser.answered(2)


def test_a_model_that_cannot_draw_boxes_is_not_asked_for_them(browser, server, endless):
    browser.open(server, "demo")
    browser.id("find").click()
    browser.choose(endless)
    assert not browser.id("find").is_enabled() and not browser.id("find").is_selected()
    assert (browser.id("find-hint").text, browser.id("ask").text) == ("This model cannot draw boxes.", "Ask")
    browser.choose("demo")
    assert browser.id("find").is_enabled() and browser.id("find-hint").text == ""


def test_a_file_that_is_no_picture_is_named_and_can_be_taken_back(browser, server, tmp_path):
    browser.refusals = (400,)
    notes = tmp_path / "notes.txt"
    notes.write_text("not a picture")
    browser.open(server, "demo")
    browser.drop(SCENE)
    browser.drop(notes)
    browser.until(lambda: browser.texts("#tray .tile") == ["notes.txt\nno preview"], "it has a preview")
    for is_find in (False, True):
        if is_find:
            browser.id("question").clear()
            browser.id("find").click()
        browser.ask("What is shown?")
        said = browser.until(lambda: browser.id("error").text, "nothing is said")
        assert said == "notes.txt: a text file, not a picture"  # and no option of the command line
        assert browser.id("question").get_attribute("value") == "What is shown?" and not browser.all("article")
        assert len(browser.all("#tray li")) == 2
    browser.id("find").click()
    browser.all("#tray button[aria-label='Remove notes.txt']")[0].click()
    browser.id("ask").click()
    assert browser.answered() == ["A red circle and a blue square."]
    assert browser.id("error").text == ""


def test_an_empty_file_and_a_question_without_words_are_refused(browser, server, tmp_path):
    (tmp_path / "empty.png").touch()
    browser.open(server, "demo")
    browser.drop(tmp_path / "empty.png")
    browser.id("ask").click()
    assert browser.id("error").text == "Write a question."
    browser.ask("What is shown?")
    browser.until(lambda: browser.id("error").text == "The file empty.png is empty.", "nothing is said")
    browser.all("#tray button")[0].click()
    browser.id("find").click()
    browser.id("ask").click()
    assert browser.id("error").text == "Choose a picture."
    browser.id("question").clear()
    browser.id("ask").click()
    assert browser.id("error").text == "Say what to find."


def test_a_key_is_asked_for_and_kept_for_the_tab_only(browser, locked, tmp_path):
    browser.refusals = (401,)
    browser.open(locked)
    browser.until(lambda: browser.id("key").is_displayed(), "no key is asked for")
    assert not browser.id("ask-form").is_displayed() and browser.id("error").text == ""
    browser.press("wrong\n")
    browser.until(lambda: browser.id("error").text == "The key is wrong.", "a wrong key is taken")
    browser.id("key").clear()
    browser.id("key").send_keys(KEY, "\n")
    browser.until(lambda: browser.id("ask-form").is_displayed(), "the key is not taken")
    assert browser.id("error").text == "" and not browser.id("key-form").is_displayed()
    browser.drop(SCENE)
    browser.ask("What is shown?")
    assert browser.answered() == ["A red circle and a blue square."]
    assert browser.script("return [sessionStorage.length, localStorage.length, document.cookie]") == [1, 0, ""]
    Image.effect_noise((1500, 1500), 80).save(tmp_path / "large.png")
    browser.drop(tmp_path / "large.png")
    browser.refusals = (401, 413)
    browser.ask("What is shown?")
    browser.until(lambda: "larger than 1.0 MB" in browser.id("error").text, "it is not too large")
    browser.driver.refresh()
    browser.until(lambda: browser.id("ask-form").is_displayed() and browser.id("about").text != "Ask about pictures.",
                  "the key is forgotten in its own tab")  # fmt: skip
    first = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    try:
        browser.open(locked)
        browser.until(lambda: browser.id("key").is_displayed(), "another tab knows the key")
    finally:
        browser.driver.close()
        browser.driver.switch_to.window(first)


def test_a_server_that_has_gone_is_told_of(browser):
    with serving("--models", "demo") as address:
        browser.open(address)
        browser.drop(SCENE)
        browser.until(lambda: "demo" in browser.id("about").text, "it has not begun")
    browser.ask("What is shown?")
    browser.until(lambda: browser.id("error").text == "The server cannot be reached. Check that vlm serve is running.",
                  "nothing is said")  # fmt: skip
    assert browser.id("question").get_attribute("value") == "What is shown?"
    (logged,) = browser.errors()
    assert "ERR_CONNECTION_REFUSED" in logged


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_an_answer_is_copied(browser, server, has_clipboard):
    browser.open(server, "demo")
    browser.driver.execute_cdp_cmd("Browser.grantPermissions", {
        "origin": server, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"],
    })  # fmt: skip
    if not has_clipboard:  # as on a page over plain HTTP from another machine
        browser.script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    browser.drop(SCENE)
    browser.ask("What is shown?")
    browser.answered()
    (button,) = browser.all(".figures button")
    button.click()
    browser.until(lambda: button.text == "Copied", "it is not copied")
    browser.id("question").send_keys("\ue009" + "v")  # Ctrl-V
    assert browser.id("question").get_attribute("value") == "A red circle and a blue square."


def test_everything_works_from_the_keyboard(browser, server):
    tab, space = "\ue004", " "
    browser.open(server, "demo")
    browser.drop(SCENE)
    browser.script("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
    order = []
    for _ in count():
        browser.press(tab)
        name = browser.script("const at = document.activeElement; return at.id || at.className || at.tagName")
        if name in ("BODY", "HTML") or name in order:
            break
        order.append(name)
        outline = browser.script(
            "let at = document.activeElement; if (at.id === 'files') at = at.nextElementSibling;"
            "const style = getComputedStyle(at); return style.outlineStyle + style.outlineWidth"
        )
        assert outline == "solid3px", f"the focus on {name} is not seen"
    assert order == ["model", "remove", "files", "question", "find", "ask"]
    browser.id("question").send_keys("What is shown?", tab, tab)
    browser.press("\n")
    assert browser.answered() == ["A red circle and a blue square."]
    browser.id("question").send_keys("two", "\ue008\n\ue008", "lines", tab)  # Shift+Enter
    assert browser.id("question").get_attribute("value") == "two\nlines"
    browser.press(space)
    assert browser.id("find").is_selected()


def test_what_is_written_is_never_markup(browser, server):
    browser.open(server, "demo")
    browser.drop(SCENE)
    browser.ask("What is <b>shown</b><img src=x>?")
    browser.answered()
    assert browser.texts(".question p") == ["What is <b>shown</b><img src=x>?"]
    assert browser.all(".question p *") == []


def test_the_page_fits_small_windows_and_moves_only_where_it_may(browser, server):
    browser.resize(320, 480)
    browser.open(server, "demo")
    browser.drop(SCENE)
    browser.ask("What is shown?")
    browser.answered()
    browser.id("find").click()
    browser.ask("each shape")
    browser.answered(2)
    assert browser.script("return document.documentElement.scrollWidth") <= 320
    code = (
        "const one = document.querySelector('.text'); one.classList.add('writing');"
        "return getComputedStyle(one, '::after').animationName"
    )
    assert browser.script(code) == "blink"
    browser.media(motion="reduce")
    assert browser.script(code) == "none"


def test_axe_finds_nothing_serious(browser, server, locked):
    axe = os.environ.get("VLM_AXE", "")
    if not Path(axe).is_file():
        pytest.skip("axe-core is missing: VLM_AXE names its axe.min.js (npm pack axe-core)")
    source = Path(axe).read_text("utf-8")

    def found():
        browser.script(source)
        result = browser.driver.execute_async_script("axe.run().then(arguments[0])")
        assert len(result["passes"]) > 15
        return [(one["id"], [node["html"] for node in one["nodes"]]) for one in result["violations"]]

    for scheme in ("light", "dark"):
        browser.media(scheme=scheme)
        browser.open(server, "demo")
        assert found() == []
        browser.drop(SCENE)
        browser.ask("What is shown?")
        browser.answered()
        browser.drop(SCENE)
        browser.id("find").click()
        browser.ask("each shape")
        browser.answered(2)
        browser.id("question").clear()
        browser.id("ask").click()
        browser.until(lambda: browser.id("error").text, "there is no error to look at")
        assert found() == []
        browser.refusals = (401,)
        browser.open(locked)
        browser.until(lambda: browser.id("key").is_displayed(), "no key is asked for")
        assert found() == []
