"""The Hub behind the proxies that an environment names."""

import json

import pytest

from tests.support.raw_server import reply, serving
from vlmcli.errors import HubError
from vlmcli.models import hub

NAME = "someone/pictures-GGUF"
LISTING = reply(json.dumps({"sha": "a" * 40, "siblings": []}).encode())


@pytest.fixture(autouse=True)
def _far(tmp_path, monkeypatch):
    """A Hub whose name only a proxy knows, and no proxies yet."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "127.0.0.1:{}", "http://me:se%20cret@127.0.0.1:{}/"])
def test_a_proxy_is_asked_for_the_whole_address(monkeypatch, name, form):
    with serving(LISTING) as proxy:
        monkeypatch.setenv(name, form.format(proxy.port))
        assert hub.look(NAME).commit == "a" * 40
        (head,) = proxy.heard
    assert head.startswith(f"GET http://hub.invalid/api/models/{NAME}?blobs=true HTTP/1.1\r\n")
    assert "\r\nHost: hub.invalid\r\n" in head
    assert ("Proxy-Authorization: Basic bWU6c2UgY3JldA==" in head) == ("me" in form)


def test_a_tunnel_is_asked_for_where_the_hub_speaks_tls(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    with serving(reply(status="407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(HubError, match="407 Proxy Authentication Required") as caught:
            hub.look(NAME)
        assert proxy.heard[0].startswith("CONNECT hub.invalid:443 HTTP/1.1\r\n")
    assert "HTTPS_PROXY" in caught.value.hint


def test_a_proxy_is_left_alone_where_the_environment_says_so(monkeypatch):
    with serving(LISTING) as proxy, serving(LISTING) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.port}")
        hub.look(NAME)
        assert (len(proxy.heard), len(server.heard)) == (0, 1)


@pytest.mark.parametrize("to", ["10.0.0.1", "[64:ff9b::a00:1]", "metadata.google.internal", "printer.local", "0x7f.1"])
def test_a_hub_does_not_lead_a_proxy_into_its_own_network(monkeypatch, to):
    lead = f"HTTP/1.1 302 Found\r\nLocation: http://{to}/x\r\nContent-Length: 0\r\n\r\n".encode()
    with serving(lead) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(HubError, match="an address of this machine or its network"):
            hub.look(NAME)
        assert len(proxy.heard) == 1


@pytest.mark.parametrize("value", ["nonsense://127.0.0.1:9", "https://127.0.0.1:9", "http://[::1"])
def test_a_proxy_that_cannot_be_used_is_named(monkeypatch, value):
    monkeypatch.setenv("http_proxy", value)
    with pytest.raises(HubError, match="the proxy set in the environment cannot be used") as caught:
        hub.look(NAME)
    assert "HTTPS_PROXY" in caught.value.hint
