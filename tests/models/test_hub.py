"""The Hub's cache and downloads into it, against a server that speaks the Hub's API, with what can go wrong."""

import hashlib
import multiprocessing
import random
from pathlib import Path

import httpx2
import pytest

from tests.support.hub import Fault, Hub
from vlmcli.errors import HubError, NotOnHub
from vlmcli.models import download, hub_cache
from vlmcli.models import hub as ours

NAME = "someone/pictures-GGUF"
CONTENT = random.Random(1).randbytes(3_000_000)
SMALL = b"a picture model\n"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub with one repository, and a cache of the test's own, for this process and those it starts."""
    with Hub() as server:
        server.add(NAME, {"model-Q8_0.gguf": CONTENT, "README.md": SMALL})
        from huggingface_hub import constants

        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        hub_cache.constant("ENDPOINT")  # or what is changed below would be read from the environment again
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
        yield server


@pytest.fixture
def waits(monkeypatch):
    """Pauses, in seconds, which are not made."""
    found = []
    monkeypatch.setattr(ours.time, "sleep", found.append)
    return found


def fetch(path="model-Q8_0.gguf"):
    """Download a file. Returns where it is, and what was said."""
    said = []
    listing = ours.look(NAME)
    file = next(one for one in listing.files if one.path == path)
    return download.fetch(listing, file, lambda _: None, said.append), said


def part():
    """Where the file is until its hash is right."""
    listing = ours.look(NAME)
    return hub_cache.spot(listing, listing.files[0], listing.files[0].sha256).part


def test_a_listing_says_what_is_there(hub):
    listing = ours.look(NAME)
    assert (listing.name, listing.licence, listing.gated, len(listing.commit)) == (NAME, "apache-2.0", False, 40)
    model, readme = listing.files
    assert (model.path, model.size, model.sha256) == ("model-Q8_0.gguf", 3_000_000, hashlib.sha256(CONTENT).hexdigest())
    assert (readme.path, readme.sha256) == ("README.md", "")
    assert ours.reach() == hub.url


@pytest.mark.parametrize(("path", "content"), [("model-Q8_0.gguf", CONTENT), ("README.md", SMALL)])
def test_huggingface_hub_finds_what_we_brought_and_we_what_it_brought(hub, path, content):
    from huggingface_hub import hf_hub_download

    mine, _ = fetch(path)
    folder = str(hub_cache.folder())
    assert hf_hub_download(NAME, path, cache_dir=folder, local_files_only=True) == str(mine)
    assert mine.read_bytes() == content
    hub_cache.remove(NAME, [mine])
    assert hub_cache.cached(NAME) == ()

    theirs = hf_hub_download(NAME, path, cache_dir=folder)
    (snapshot,) = hub_cache.cached(NAME)
    (file,) = snapshot.listing.files
    assert (file.path, file.size, str(snapshot.path(file))) == (path, len(content), theirs)
    sent = hub.sent
    assert (fetch(path)[0], hub.sent) == (Path(theirs), sent)


@pytest.mark.parametrize(
    ("fault", "said", "most"),
    [
        (Fault(cut=1_000_000, times=2), "the connection was cut", 1.01),
        (Fault(wrong=True), "deleted it, downloading again", 2.01),
        (Fault(longer=5), "another size than the 3000000 bytes", 2.01),
        (Fault(status=429, retry_after=7), "too many requests to the Hub; retrying in 7 s", 1.01),
        (Fault(status=503), "the Hub reports an error (503); retrying", 1.01),
    ],
)
def test_a_fault_that_passes_is_said_and_survived(hub, waits, fault, said, most):
    hub.faults.append(fault)
    path, heard = fetch()
    assert path.read_bytes() == CONTENT
    assert said in " ".join(heard)
    assert hub.sent <= most * len(CONTENT)
    assert (7 in waits) == (fault.retry_after == 7)


@pytest.mark.parametrize(
    ("fault", "message", "hint"),
    [
        (Fault(cut=0, times=-1), "model-Q8_0.gguf: the connection was cut", "resume"),
        (Fault(wrong=True, times=-1), "the download is not the published file", "later"),
        (Fault(longer=5, times=-1), "another size than the 3000000 bytes that it lists", "later"),
        (Fault(status=429, retry_after=100_000, times=-1), "too many requests", "a token"),
        (Fault(status=503, times=-1), "the Hub reports an error (503)", "later"),
        (Fault(html=True, times=-1), "model-Q8_0.gguf: got a web page instead", "sign in"),
        (Fault(status=403, times=-1), "the Hub refused the request (403)", "/"),
        (Fault(status=451, times=-1), "the Hub refused the request (451)", "/"),
        (Fault(listing=True, html=True, times=-1), f"{NAME}: got a web page instead", "sign in"),
        (Fault(listing=True, status=500, times=-1), f"{NAME}: the Hub reports an error (500)", "later"),
    ],
)
def test_a_fault_that_stays_is_an_error_with_its_name(hub, waits, fault, message, hint):
    hub.faults.append(fault)
    with pytest.raises(HubError) as caught:
        fetch()
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert not any(path.is_file() and path.suffix != ".incomplete" for path in hub_cache.folder().rglob("blobs/*"))
    if fault.wrong:
        assert not part().exists()
        assert hub.sent == 2 * len(CONTENT)


def test_a_download_goes_on_where_it_stopped(hub, waits):
    hub.faults.append(Fault(cut=2_000_000))
    hub.faults.append(Fault(status=403))
    with pytest.raises(HubError):
        fetch()
    assert part().stat().st_size == 2_000_000
    assert hub_cache.have(ours.look(NAME), ours.look(NAME).files[0]) == 2_000_000
    path, _ = fetch()
    assert path.read_bytes() == CONTENT
    assert hub.sent == len(CONTENT)
    assert [asked for _, _, asked in hub.asked if asked][-1] == "bytes=2000000-"


def test_a_server_without_ranges_costs_one_download_more(hub, waits):
    hub.faults.append(Fault(cut=2_000_000))
    hub.faults.append(Fault(no_range=True))
    path, said = fetch()
    assert path.read_bytes() == CONTENT
    assert "from the beginning" in " ".join(said)
    assert hub.sent == 2_000_000 + len(CONTENT)


@pytest.mark.parametrize("left", [b"\0" * 1000, b"\0" * 3_000_000, b"\0" * 3_000_001])
def test_a_part_that_is_not_of_the_file_is_no_danger(hub, left):
    part().parent.mkdir(parents=True)
    part().write_bytes(left)
    assert fetch()[0].read_bytes() == CONTENT
    assert hub.sent <= 2 * len(CONTENT)


def test_two_at_once_bring_one_file(hub):
    hub.rate = 3_000_000
    with multiprocessing.get_context("fork").Pool(3) as pool:
        paths = pool.map(_pull, range(3))
    assert {path.read_bytes() for path, _ in paths} == {CONTENT}
    assert hub.sent == len(CONTENT)
    assert sum("another program is downloading it" in " ".join(said) for _, said in paths) == 2


def _pull(_):
    return fetch()


def test_who_is_not_let_in_is_told_where_to_ask(hub, monkeypatch):
    hub.add("someone/secret", {"model.gguf": SMALL}, gated=True)
    listing = ours.look("someone/secret")
    assert listing.gated
    for token in ("", "hf_not_this_one"):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(HubError, match="its owner must grant you access") as caught:
            download.fetch(listing, listing.files[0], lambda _: None, lambda _: None)
        assert f"request access at {hub.url}/someone/secret" in caught.value.hint
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert download.fetch(listing, listing.files[0], lambda _: None, lambda _: None).read_bytes() == SMALL


@pytest.mark.parametrize("name", ["someone/nothing", "a b/c", "a/b/c"])
def test_a_name_nobody_has_is_said_to_be_unknown(hub, name):
    with pytest.raises(NotOnHub, match=name):
        ours.look(name)


def test_a_path_that_leaves_the_cache_is_refused(hub):
    for path in ("../../evil.gguf", "/etc/evil.gguf", "a//b.gguf", "..\\evil.gguf"):
        hub.add("someone/evil", {path: SMALL})
        listing = ours.look("someone/evil")
        with pytest.raises(HubError, match="not a valid path in a repository"):
            download.fetch(listing, listing.files[0], lambda _: None, lambda _: None)


def test_offline_nothing_is_asked(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.asked)
    for ask in (lambda: ours.look(NAME), ours.reach):
        with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
            ask()
    assert len(hub.asked) == asked


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("http://127.0.0.1:9", "127.0.0.1:9 cannot be reached (Connection refused)"),
        ("huggingface.co", "the request to huggingface.co failed"),
        ("http://[::", "failed"),
    ],
)
def test_a_hub_that_is_not_there_is_named(hub, monkeypatch, endpoint, says):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    for ask in (ours.reach, lambda: ours.look(NAME)):
        with pytest.raises(HubError) as caught:
            ask()
        assert says in caught.value.message


@pytest.mark.parametrize("answer", ["[]", "{}", '{"id": "a/b", "siblings": 3}', "null"])
def test_an_answer_of_another_form_is_no_listing(hub, answer):
    hub.faults.append(Fault(listing=True, text=answer))
    with pytest.raises(HubError) as caught:
        ours.look(NAME)
    assert "does not answer like the Hub" in caught.value.message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"sha": "', '"sha": "../../../out'),
        ('"sha": ', '"sha": null, "was": '),
        ('"sha256": "', '"sha256": "/tmp/'),
        ('"size": 3000000', '"size": null'),
        ('"size": 3000000', '"size": -1'),
    ],
)
def test_a_listing_whose_hashes_are_none_is_refused(hub, old, new):
    """They become paths in the cache."""
    text = httpx2.get(f"{hub.url}/api/models/{NAME}?blobs=true").text
    assert old in text
    hub.faults.append(Fault(listing=True, text=text.replace(old, new, 1)))
    with pytest.raises(HubError, match="does not answer like the Hub"):
        ours.look(NAME)


def test_a_listing_that_is_cut_off_is_no_web_page(hub):
    hub.faults.append(Fault(listing=True, text='{"id": "a'))
    with pytest.raises(HubError, match="does not answer like the Hub"):
        ours.look(NAME)


def test_a_licence_may_be_several(hub):
    hub.add(NAME, {"model-Q8_0.gguf": CONTENT}, licence=["mit", "apache-2.0"])
    assert ours.look(NAME).licence == "mit, apache-2.0"


def test_a_hub_that_leads_in_circles_is_an_error(hub):
    hub.faults.append(Fault(status=302, times=-1))
    with pytest.raises(HubError, match="failed"):
        fetch()


def test_a_token_that_is_none_is_named(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_für_mich")
    with pytest.raises(HubError, match="HF_TOKEN contains characters that no token has"):
        ours.look(NAME)


def test_a_proxy_that_is_none_is_named(hub, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "nonsense://127.0.0.1:9")
    with pytest.raises(HubError, match="the proxy set in the environment cannot be used"):
        ours.reach()


def test_content_that_another_snapshot_leads_to_stays(hub):
    first, _ = fetch()
    hub.add(NAME, {"model-Q8_0.gguf": CONTENT, "README.md": b"of another day\n"})
    second, _ = fetch()
    assert first != second
    assert [snapshot.root for snapshot in hub_cache.cached(NAME)] == [second.parent, first.parent]
    assert hub_cache.remove(NAME, [second]) == 0
    assert first.read_bytes() == CONTENT
    assert hub_cache.remove(NAME, [first]) == len(CONTENT)
    assert not list(hub_cache.folder().glob("models--*"))
