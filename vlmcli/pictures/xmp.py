"""The description and the keywords in an XMP packet, and all else that is in it kept.

An XMP packet is RDF in XML. `dc:description` is a list of alternatives by language (rdf:Alt), of which "x-default" is
the one that programs show; `dc:subject` is a set of keywords (rdf:Bag). Each is a property of an rdf:Description right
below rdf:RDF, of which there may be several; what is deeper is another thing's, a face's for one. Source: ISO 16684-1
(XMP), and XMP Specification Part 3 for sidecar files. Comments are not kept.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from xml.etree import ElementTree as Tree

from vlmcli.errors import VlmError

LONGEST = 16 << 20  # bytes
X, RDF, DC = "adobe:ns:meta/", "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://purl.org/dc/elements/1.1/"
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_ALT = f"{{{DC}}}description/{{{RDF}}}Alt"


def description(packet: bytes, name: str) -> str:
    """The description in a packet; empty where it has none. Raises VlmError, which names it, for what is no packet."""
    root = _read(packet, name)
    found = _default(root)
    return next(iter(_texts(root, "description")), "") if found is None else (found.text or "").strip()


def subjects(packet: bytes, name: str) -> tuple[str, ...]:
    """The keywords in a packet, each once, in its order. Raises VlmError, which names it, for what is no packet."""
    return tuple(dict.fromkeys(_texts(_read(packet, name), "subject")))


def described(packet: bytes | None, text: str, name: str) -> bytes:
    """A packet with this description in place of its own, or a new one.

    Args:
        packet: what is there; None for nothing.
        text: the description.
        name: of the file, for errors.
    """
    root = _opened(packet, name)
    item = _default(root)
    if item is None:
        item = Tree.SubElement(_array(root, "description", "Alt"), f"{{{RDF}}}li", {LANGUAGE: "x-default"})
    elif item.get(LANGUAGE, "x-default") != "x-default":  # of other languages only, which stay
        item = Tree.Element(f"{{{RDF}}}li", {LANGUAGE: "x-default"})
        next(alt for about in _own(root) for alt in about.findall(_ALT)).insert(0, item)
    item.text = _clean(text)
    return _written(root, name)


def with_subjects(packet: bytes | None, words: Sequence[str], name: str) -> bytes:
    """A packet with these keywords in place of all of its own, or a new one.

    Args:
        packet: what is there; None for nothing.
        words: the keywords; blank ones and repeated ones are left out, line breaks within them are spaces.
        name: of the file, for errors.
    """
    root = _opened(packet, name)
    clean = dict.fromkeys(" ".join(_clean(word).split()) for word in words)
    clean.pop("", None)
    if clean:
        heap = _array(root, "subject", "Bag")
        for word in clean:
            Tree.SubElement(heap, f"{{{RDF}}}li").text = word
    else:
        _take(root, "subject")
    return _written(root, name)


# --- reading and writing a packet ---


def _read(packet: bytes, name: str) -> Tree.Element:
    """The root of a packet. Raises VlmError for what is no XMP, or may not be parsed."""
    if len(packet) > LONGEST or re.search(rb"<!(?:DOCTYPE|ENTITY)", packet.replace(b"\0", b"")):  # UTF-16 has zeros
        raise VlmError(f"{name}: an XMP file that vlm does not change (too long, or with entities)", "move it away")
    try:
        root = Tree.fromstring(packet)
    except (Tree.ParseError, ValueError, LookupError) as error:  # the latter two: of encodings
        raise VlmError(f"{name}: not an XMP file ({error})", "fix it or move it away") from None
    if root.tag != f"{{{RDF}}}RDF" and root.find(f".//{{{RDF}}}RDF") is None:
        raise VlmError(f"{name}: XML, but not XMP", "move it away")
    return root


def _opened(packet: bytes | None, name: str) -> Tree.Element:
    """What is in a packet that is to be written, or a new one's; its prefixes are kept."""
    for prefix, uri in (("x", X), ("rdf", RDF), ("dc", DC)):
        Tree.register_namespace(prefix, uri)
    if packet is None:
        root = Tree.Element(f"{{{X}}}xmpmeta")
        Tree.SubElement(root, f"{{{RDF}}}RDF")
        return root
    root = _read(packet, name)
    for prefix, uri in _namespaces(packet):
        if re.fullmatch(r"(?!ns\d)[A-Za-z_][\w.-]*", prefix):
            Tree.register_namespace(prefix, uri)
    return root


def _written(root: Tree.Element, name: str) -> bytes:
    """A packet with its wrapper, in UTF-8."""
    try:
        body = Tree.tostring(root, "unicode")
    except RecursionError:
        raise VlmError(f"{name}: the XMP is nested too deeply", "fix it or move it away") from None
    return ('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n' + body + '\n<?xpacket end="w"?>\n').encode(
        "utf-8", "replace"
    )


def _namespaces(packet: bytes) -> list[tuple[str, str]]:
    return [pair for _, pair in Tree.iterparse(io.BytesIO(packet), ("start-ns",))]


def _clean(text: str) -> str:
    """A text without what XML cannot hold."""
    return re.sub("[^\t\n\x20-\ufffd\U00010000-\U0010ffff]", "", text)


# --- properties of the Dublin Core ---


def _rdf(root: Tree.Element) -> Tree.Element:
    found = root.find(f".//{{{RDF}}}RDF")
    return root if found is None else found


def _own(root: Tree.Element) -> list[Tree.Element]:
    """The elements that hold the packet's own properties."""
    return _rdf(root).findall(f"{{{RDF}}}Description")


def _texts(root: Tree.Element, term: str) -> list[str]:
    """What a property says, item by item; also where it is a text or an attribute, as some programs write it."""
    found = []
    for about in _own(root):
        found.append(about.get(f"{{{DC}}}{term}", ""))
        for held in about.findall(f"{{{DC}}}{term}"):
            found += ["".join(item.itertext()) for item in held.findall(f"*/{{{RDF}}}li") or [held]]
    return [text.strip() for text in found if text.strip()]


def _default(root: Tree.Element) -> Tree.Element | None:
    """The item of the description that programs show."""
    items = [item for about in _own(root) for item in about.findall(f"{_ALT}/{{{RDF}}}li")]
    named = [item for item in items if item.get(LANGUAGE) == "x-default"]
    return next(iter(named or items), None)


def _take(root: Tree.Element, term: str) -> tuple[Tree.Element, int] | None:
    """Remove a property wherever it is. Returns (the element that held it first, its number there), if any did."""
    place, tag = None, f"{{{DC}}}{term}"
    for about in _own(root):
        about.attrib.pop(tag, None)
        for old in about.findall(tag):
            place = place or (about, list(about).index(old))
            about.remove(old)
    return place


def _array(root: Tree.Element, term: str, kind: str) -> Tree.Element:
    """An empty array of a kind, rdf:Alt or rdf:Bag, in place of what a property was."""
    place = _take(root, term)
    if place is None:
        own = _own(root)
        about = own[0] if own else Tree.SubElement(_rdf(root), f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""})
        place = (about, len(about))
    held = Tree.Element(f"{{{DC}}}{term}")
    place[0].insert(place[1], held)
    return Tree.SubElement(held, f"{{{RDF}}}{kind}")
