"""Which IP addresses are of the open network: globally routable unicast, and nothing else.

Python's `ipaddress` knows the registries, too, but each version of it as they were when it was made, and it takes an
address with another one inside for what it looks like. So the registries' blocks are written down here, and all
versions of Python agree. Pure: looks nothing up, and connects to nothing.
"""

from __future__ import annotations

import ipaddress

_SPECIAL_IPV4 = (
    "0.0.0.0/8",  # this network, RFC 791
    "10.0.0.0/8",  # private, RFC 1918
    "100.64.0.0/10",  # shared by a provider's customers, RFC 6598
    "127.0.0.0/8",  # loopback, RFC 1122
    "169.254.0.0/16",  # link-local, RFC 3927; also where clouds keep their machines' secrets
    "172.16.0.0/12",  # private, RFC 1918
    "192.0.0.0/24",  # protocol assignments, RFC 6890; what is reachable of it is a service of one's own network
    "192.0.2.0/24",  # documentation, RFC 5737
    "192.31.196.0/24",  # AS112, RFC 7535: name servers that any network may run itself
    "192.52.193.0/24",  # multicast relays, RFC 7450
    "192.88.99.0/24",  # relays of 6to4, given up in RFC 7526
    "192.168.0.0/16",  # private, RFC 1918
    "192.175.48.0/24",  # AS112, RFC 7534
    "198.18.0.0/15",  # measurements, RFC 2544
    "198.51.100.0/24",  # documentation, RFC 5737
    "203.0.113.0/24",  # documentation, RFC 5737
    "224.0.0.0/4",  # multicast, RFC 5771
    "240.0.0.0/4",  # reserved, RFC 1112; with the broadcast address, RFC 8190
)
"""Blocks of IPv4 that are for a special purpose.

Source: IANA IPv4 Special-Purpose Address Registry (iana.org/assignments/iana-ipv4-special-registry), and the multicast
block of the IPv4 Address Space Registry. Also what the registry calls globally reachable is in it: these are a few
anycast services that one's own network may answer for, and none of them has pictures or models.
"""

_UNICAST_IPV6 = "2000::/3"
"""The only block of which the world's IPv6 addresses are given out.

Outside lie, among others: ::1; IPv4-compatible ::/96; ::ffff:0:0:0/96 of RFC 2765; 64:ff9b:1::/48 (RFC 8215), of which
nobody but its own network knows where an IPv4 address is in it; 100::/64; 5f00::/16; fc00::/7; fe80::/10; fec0::/10;
and multicast, ff00::/8. Source: RFC 4291, section 2.4; IANA Internet Protocol Version 6 Address Space.
"""

_SPECIAL_IPV6 = (
    "2001::/23",  # protocol assignments, RFC 2928: Teredo, benchmarking, AMT, ORCHID, DRIP
    "2001:db8::/32",  # documentation, RFC 3849
    "2620:4f:8000::/48",  # AS112, RFC 7534
    "3fff::/20",  # documentation, RFC 9637
)
"""Blocks of that one that are for a special purpose.

Source: IANA IPv6 Special-Purpose Address Registry (iana.org/assignments/iana-ipv6-special-registry).
"""

_MAPPED = "::ffff:0:0/96"  # RFC 4291, 2.5.5.2: the system connects to the IPv4 address inside
_NAT64 = "64:ff9b::/96"  # RFC 6052: so does a gateway, in networks that have IPv6 alone
_SIX_TO_FOUR = "2002::/16"  # RFC 3056: and so does a relay; the IPv4 address is in bits 16 to 47
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""Bits 64 to 95 of an address at whose end an IPv4 address stands, in any network (RFC 5214, section 6.1)."""


def is_open(address: str) -> bool:
    """Whether an IP address is of the open network; one that has an IPv4 address inside is judged by that, too.

    A network may have a prefix of its own for IPv4 addresses inside IPv6 (RFC 6052, section 2.2; 6rd). These look like
    any other address, so that nobody outside can know of them.

    Args:
        address: in figures; with a zone ("%eth0") it is of one network, and so not of the open one.

    Raises ValueError for what is no address.
    """
    bare, zone, _ = address.partition("%")
    found = ipaddress.ip_address(bare)
    if isinstance(found, ipaddress.IPv4Address):
        return not zone and _is_open_ipv4(int(found))
    return not zone and _is_open_ipv6(int(found))


def _is_open_ipv4(number: int) -> bool:
    return not any(_is_in(number, block) for block in _CLOSED_IPV4)


def _is_open_ipv6(number: int) -> bool:
    if _is_in(number, _WHOLLY_INSIDE[0]) or _is_in(number, _WHOLLY_INSIDE[1]):
        return _is_open_ipv4(number & 0xFFFF_FFFF)
    if not _is_in(number, _GIVEN_OUT) or any(_is_in(number, block) for block in _CLOSED_IPV6):
        return False
    if _is_in(number, _RELAYED) and not _is_open_ipv4(number >> 80 & 0xFFFF_FFFF):
        return False
    return number >> 32 & 0xFFFF_FFFF not in _ISATAP or _is_open_ipv4(number & 0xFFFF_FFFF)


def _block(text: str) -> tuple[int, int]:
    """A block's first and last address, as numbers."""
    network = ipaddress.ip_network(text)
    return int(network.network_address), int(network.broadcast_address)


def _is_in(number: int, block: tuple[int, int]) -> bool:
    return block[0] <= number <= block[1]


_CLOSED_IPV4 = tuple(map(_block, _SPECIAL_IPV4))
_CLOSED_IPV6 = tuple(map(_block, _SPECIAL_IPV6))
_GIVEN_OUT, _RELAYED = _block(_UNICAST_IPV6), _block(_SIX_TO_FOUR)
_WHOLLY_INSIDE = _block(_MAPPED), _block(_NAT64)

_NEVER_PUBLIC = ("localhost", "local", "internal", "home.arpa")
"""Ends of names that the world's name servers have nothing for.

Source: RFC 6761, 6762 and 8375; ICANN's resolution 2024.07.29.06 for "internal", under which clouds keep secrets.
"""


def is_own_name(host: str) -> bool:
    """Whether a name that is not known here can only be one of somebody's own network, or is an address in disguise.

    It is for a host that a proxy would be asked for: what no name server here knows, the proxy's may. A name without a
    dot is its network's own; and one whose last part is a number is read as an IPv4 address by some programs, whatever
    is before it (WHATWG URL, "ends in a number").
    """
    labels = host.lower().rstrip(".").split(".")
    last = labels[-1]
    number = last.isdecimal() or (last.startswith("0x") and all(letter in "0123456789abcdef" for letter in last[2:]))
    return number or len(labels) == 1 or any(".".join(labels[-len(one.split(".")) :]) == one for one in _NEVER_PUBLIC)
