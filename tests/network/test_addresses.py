"""Which addresses are open, against IANA's registries, transcribed again, and Python's `ipaddress`; hundreds of
thousands of them, in every embedding, and spelling by spelling through the door.
"""

import ipaddress
import random
import socket

import pytest

from tests.support.program import vlm
from vlmcli.errors import SourceError
from vlmcli.network import addresses, open_network
from vlmcli.pictures import fetch

# IANA IPv4 Special-Purpose Address Registry, and multicast: first and last address, as the registry's tables have them
# side by side with their RFCs. Written as ranges, so that a slip in a mask here and there is not the same slip.
CLOSED_4 = [
    ("0.0.0.0", "0.255.255.255"), ("10.0.0.0", "10.255.255.255"), ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"), ("169.254.0.0", "169.254.255.255"), ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"), ("192.0.2.0", "192.0.2.255"), ("192.31.196.0", "192.31.196.255"),
    ("192.52.193.0", "192.52.193.255"), ("192.88.99.0", "192.88.99.255"), ("192.168.0.0", "192.168.255.255"),
    ("192.175.48.0", "192.175.48.255"), ("198.18.0.0", "198.19.255.255"), ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"), ("224.0.0.0", "255.255.255.255"),
]  # fmt: skip
# IANA IPv6 Special-Purpose Address Registry and Address Space: what is closed, whatever is inside.
CLOSED_6 = [
    ("::", "::fffe:ffff:ffff"), ("::1:0:0:0", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("64:ff9b::1:0:0", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff"), ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
]  # fmt: skip
BLOCKS_6 = [
    "::1/128", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
    "100:0:0:1::/64", "2001::/23", "2001::/32", "2001:2::/48", "2001:3::/32", "2001:4:112::/48", "2001:10::/28",
    "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16",
    "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "2000::/3",
]  # fmt: skip


def ranges(table, kind):
    return [(int(kind(first)), int(kind(last))) for first, last in table]


FOUR, SIX = ranges(CLOSED_4, ipaddress.IPv4Address), ranges(CLOSED_6, ipaddress.IPv6Address)


def open_4(number):
    return not any(first <= number <= last for first, last in FOUR)


def open_6(number):
    """What ought to come out, by the address's text and not by its bits."""
    if any(first <= number <= last for first, last in SIX):
        return False
    groups = [int(group, 16) for group in ipaddress.IPv6Address(number).exploded.split(":")]
    last = groups[6] * 65536 + groups[7]
    if groups[:6] in ([0, 0, 0, 0, 0, 0xFFFF], [0x64, 0xFF9B, 0, 0, 0, 0]):
        return open_4(last)
    if groups[0] == 0x2002 and not open_4(groups[1] * 65536 + groups[2]):
        return False
    return not (groups[4] in (0, 0x200) and groups[5] == 0x5EFE and not open_4(last))


def edges(first, last, most):
    return [at for at in (first - 1, first, first + 1, (first + last) // 2, last - 1, last, last + 1) if 0 <= at < most]


def interesting_4():
    return [number for first, last in FOUR for number in edges(first, last, 1 << 32)]


def embedded(number):
    """Every way in which an IPv4 address stands in an IPv6 one, as far as anybody can know."""
    obfuscated = number ^ 0xFFFFFFFF
    return [
        number, 0xFFFF << 32 | number, 0xFFFF << 48 | number, 0x64FF9B << 96 | number,
        0x64FF9B0001 << 80 | number, 0x2002 << 112 | number << 80, 0x2002 << 112 | number << 80 | 1,
        0x20010000 << 96 | number << 64 | obfuscated, 0x20010000 << 96 | 0x08080808 << 64 | obfuscated,
        0xFE80 << 112 | 0x5EFE << 32 | number, 0x2A00145040010000 << 64 | 0x5EFE << 32 | number,
        0x2A00145040010000 << 64 | 0x02005EFE << 32 | number, 0x2002080808080000 << 64 | 0x5EFE << 32 | number,
    ]  # fmt: skip


def test_only_globally_routable_unicast_is_open_in_ipv4():
    chance = random.Random(22)
    numbers = interesting_4() + [chance.getrandbits(32) for _ in range(100_000)]
    for number in numbers:
        text = str(ipaddress.IPv4Address(number))
        found = addresses.is_open(text)
        assert found is open_4(number), text
        known = ipaddress.ip_address(text)
        assert not found or (known.is_global and not known.is_multicast), text


def test_only_globally_routable_unicast_is_open_in_ipv6():
    chance = random.Random(23)
    numbers = [number for first, last in SIX for number in edges(first, last, 1 << 128)]
    for block in map(ipaddress.ip_network, BLOCKS_6):
        first, last = int(block.network_address), int(block.broadcast_address)
        numbers += edges(first, last, 1 << 128)
        numbers += [chance.randint(first, last) for _ in range(1_000)]
    numbers += [chance.getrandbits(128) for _ in range(20_000)]
    numbers += [0b001 << 125 | chance.getrandbits(125) for _ in range(20_000)]
    seen = set()
    for number in numbers:
        address = ipaddress.IPv6Address(number)
        found = addresses.is_open(address.compressed)
        assert found is open_6(number), address
        assert found is addresses.is_open(address.exploded.upper())
        assert not addresses.is_open(f"{address}%eth0")
        inner = address.ipv4_mapped or address.sixtofour
        if found and inner is None and number >> 32 != 0x64FF9B << 64:
            assert address.is_global, address
            assert not address.is_multicast
        seen.add(found)
    assert seen == {True, False}


def test_an_address_inside_another_is_judged_by_both():
    chance = random.Random(24)
    inside = interesting_4() + [chance.getrandbits(32) for _ in range(5_000)]
    opened = 0
    for number in inside:
        for outer in embedded(number):
            text = str(ipaddress.IPv6Address(outer))
            assert addresses.is_open(text) is open_6(outer), text
            assert open_4(number) or not addresses.is_open(text), text
            opened += addresses.is_open(text)
    assert opened > 10_000


@pytest.mark.parametrize("address", ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2a00::5efe:8.8.8.8"])
def test_an_open_address_inside_another_is_open(address):
    assert addresses.is_open(address)


@pytest.mark.parametrize("address", ["", "8.8.8", "08.8.8.8", "8.8.8.8/32", "[::1]", "::g", "1" * 5000, "%"])
def test_what_is_no_address_is_not_judged(address):
    with pytest.raises(ValueError, match=r"does not appear to be|^'.*'"):
        addresses.is_open(address)


# --- Through the door ---

HOSTS = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f.1", "0x7f000001", "0x7F.0.0.1", "0177.0.0.1", "017700000001",
    "127.0.0.1.", "localhost", "localhost.", "LOCALHOST", "%6cocalhost", "127%2e0%2e0%2e1", "１２７.０.０.１",
    "①②⑦.⓪.⓪.①", "127。0。0。1", "127．0．0．1", "0", "0.0.0.0", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a00:1]",
    "[64:ff9b:1::10.0.0.1]", "[2002:7f00:1::]", "[2001:0:808:808::f5ff:fffe]", "[2a00::5efe:10.0.0.1]",
    "[2a00::200:5efe:a00:1]", "[fec0::1]", "[fe80::1]", "[fe80::1%25lo]", "[fe80::1%lo]", "[fd00::1]", "[ff02::1]",
    "[100::1]", "[3fff::1]", "[5f00::1]", "192.88.99.1", "198.18.0.1", "100.64.0.1", "255.255.255.255", "240.0.0.1",
    "224.0.0.251", "192.0.0.9", "169.254.169.254", "0xa9fea9fe", "2852039166",
]  # fmt: skip


@pytest.fixture
def silent(monkeypatch):
    """No packet may leave: connecting and sending are errors that the test sees."""
    sent = []

    def refuse(self, *what):
        sent.append(what)
        raise ConnectionRefusedError(111, "Connection refused")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    real = socket.getaddrinfo

    def look_up(host, port, *rest, **more):
        """As the system has it for what is written in figures; no other name is asked for."""
        if host.rstrip(".").lower() == "localhost":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        return real(host, port, *rest, **more, flags=socket.AI_NUMERICHOST)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return sent


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_spelling_of_an_own_address_gets_a_packet(silent, host, scheme):
    with pytest.raises(SourceError) as caught:
        fetch.get(f"{scheme}://{host}/x.png", seconds=5)
    assert silent == []
    assert any(says in caught.value.message for says in ("address of this machine or its network", "cannot be fetched"))
    assert caught.value.hint


@pytest.mark.parametrize("host", ["[64:ff9b::a00:1]", "[::127.0.0.1]", "[fec0::1]", "[2a00::5efe:10.0.0.1]", "0x7f.1"])
def test_the_command_refuses_before_any_packet(silent, host):
    done = vlm("ask", "-m", "demo", f"http://{host}/x.png", "what is this?")
    assert (done.returncode, done.stdout, silent) == (1, "", [])
    assert f"http://{host}/x.png: leads to " in done.stderr
    assert "allow it with --allow-local-urls" in done.stderr


def test_an_open_address_gets_one(silent):
    """Or the tests above would not see it."""
    for host in ("8.8.8.8", "[2a00:1450:4001:80b::200e]", "[64:ff9b::808:808]", "134744072"):
        silent.clear()
        with pytest.raises(SourceError, match="Connection refused"):
            fetch.get(f"http://{host}/x.png", seconds=5)
        assert len(silent) == 1


@pytest.mark.parametrize(
    "host",
    ["metadata.google.internal", "printer.local", "router.home.arpa", "intranet", "a.localhost", "localhost.",
     "127.0.0.1.", "x.0x7f", "x.127", "099.1.1.1", "0x", "METADATA.GOOGLE.INTERNAL."],
)  # fmt: skip
def test_a_proxy_is_not_asked_for_a_name_of_its_own_network(silent, monkeypatch, host):
    """What is not known here may be known there."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    for scheme in ("http", "https"):
        with pytest.raises(SourceError, match="address of this machine or its network"):
            fetch.get(f"{scheme}://{host}/x.png", seconds=5)
    assert silent == []


@pytest.mark.parametrize("host", ["far.invalid", "internal.example.org", "local.example", "x1.example2"])
def test_a_proxy_is_asked_for_other_names_that_are_not_known_here(silent, monkeypatch, host):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match="Connection refused"):
        fetch.get(f"http://{host}/x.png", seconds=5)
    assert [address for (address,) in silent] == [("127.0.0.1", 9)]


def test_a_network_says_whether_it_was_led_home():
    for host, home in (("127.0.0.1", True), ("8.8.8.8", False)):
        network = open_network.Network(open_network.Deadline(5), allow_local=True)
        network.check(host)
        assert network.led_home is home
