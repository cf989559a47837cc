"""The properties in an XMP packet, such as its description and keywords, and all else that is in it kept.

An XMP packet is RDF in XML. `dc:description` is a list of alternatives by language (rdf:Alt), of which "x-default" is
the one that programs show; `dc:subject` is a set of keywords (rdf:Bag). Each is a property of an rdf:Description right
below rdf:RDF, of which there may be several; what is deeper is another thing's, a face's for one. What other
properties hold is in `properties`. Source: ISO 16684-1 (XMP), and XMP Specification Part 3 for sidecar files. Comments
are not kept.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from xml.etree import ElementTree as Tree

from vlmcli.errors import VlmError
from vlmcli.pictures.properties import ALT, DESCRIPTION, SPACES, SUBJECT, TEXT, Property

LONGEST = 16 << 20  # bytes
X, RDF, DC = "adobe:ns:meta/", "http://www.w3.org/1999/02/22-rdf-syntax-ns#", SPACES["dc"]
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_LI = f"{{{RDF}}}li"


def values(packet: bytes, what: Property, name: str) -> tuple[str, ...]:
    """What a packet says of a property: each value once, in its order; of several languages the default's only.

    Raises VlmError, which names the file, for what is no packet.

    Args:
        packet: what is there.
        what: is looked for.
        name: of the file, for errors.
    """
    root = _read(packet, name)
    if what.kind == ALT and (found := _default(root, what)) is not None:
        return tuple(filter(None, [(found.text or "").strip()]))
    texts = tuple(dict.fromkeys(_texts(root, what)))
    return texts[:1] if what.kind == ALT else texts


def with_values(packet: bytes | None, what: Property, texts: Sequence[str], name: str) -> bytes:
    """A packet with these values in place of those that a property has, or a new one; texts in other languages stay.

    Raises VlmError, which names the file, for what is no packet.

    Args:
        packet: what is there; None for nothing.
        what: is written.
        texts: its values. Of a list, blank ones and repeated ones are left out, and line breaks within them are
            spaces; of any other property the first counts.
        name: of the file, for errors.
    """
    root = _opened(packet, what, name)
    if what.kind == ALT:
        _alternative(root, what).text = _clean(texts[0])
    elif what.kind == TEXT:
        _placed(root, what).text = _clean(texts[0])
    else:
        clean = dict.fromkeys(" ".join(_clean(text).split()) for text in texts)
        clean.pop("", None)
        if clean:
            held = _array(root, what)
            for text in clean:
                Tree.SubElement(held, _LI).text = text
        else:
            _take(root, what)
    return _written(root, name)


def description(packet: bytes, name: str) -> str:
    """The description in a packet; empty where it has none. Raises VlmError, which names it, for what is no packet."""
    return next(iter(values(packet, DESCRIPTION, name)), "")


def subjects(packet: bytes, name: str) -> tuple[str, ...]:
    """The keywords in a packet, each once, in its order. Raises VlmError, which names it, for what is no packet."""
    return values(packet, SUBJECT, name)


def described(packet: bytes | None, text: str, name: str) -> bytes:
    """A packet with this description in place of its own, or a new one, as `with_values` makes it."""
    return with_values(packet, DESCRIPTION, [text], name)


def with_subjects(packet: bytes | None, words: Sequence[str], name: str) -> bytes:
    """A packet with these keywords in place of all of its own, or a new one, as `with_values` makes it."""
    return with_values(packet, SUBJECT, words, name)


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


def _opened(packet: bytes | None, what: Property, name: str) -> Tree.Element:
    """What is in a packet that a property is to be written to, or a new one's; its prefixes are kept."""
    for prefix, uri in (("x", X), ("rdf", RDF), (what.prefix, what.space)):
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


# --- properties ---


def _rdf(root: Tree.Element) -> Tree.Element:
    found = root.find(f".//{{{RDF}}}RDF")
    return root if found is None else found


def _own(root: Tree.Element) -> list[Tree.Element]:
    """The elements that hold the packet's own properties."""
    return _rdf(root).findall(f"{{{RDF}}}Description")


def _texts(root: Tree.Element, what: Property) -> list[str]:
    """What a property says, item by item; also where it is a text or an attribute, as some programs write it."""
    found = []
    for about in _own(root):
        found.append(about.get(what.tag, ""))
        for held in about.findall(what.tag):
            found += ["".join(item.itertext()) for item in held.findall(f"*/{_LI}") or [held]]
    return [text.strip() for text in found if text.strip()]


def _default(root: Tree.Element, what: Property) -> Tree.Element | None:
    """The item of a property in several languages that programs show."""
    items = [item for about in _own(root) for item in about.findall(f"{what.tag}/{{{RDF}}}Alt/{_LI}")]
    named = [item for item in items if item.get(LANGUAGE) == "x-default"]
    return next(iter(named or items), None)


def _alternative(root: Tree.Element, what: Property) -> Tree.Element:
    """The item of a property in several languages that is to be written: its default, or a new one."""
    item = _default(root, what)
    if item is None:
        return Tree.SubElement(_array(root, what), _LI, {LANGUAGE: "x-default"})
    if item.get(LANGUAGE, "x-default") != "x-default":  # of other languages only, which stay
        item = Tree.Element(_LI, {LANGUAGE: "x-default"})
        next(alt for about in _own(root) for alt in about.findall(f"{what.tag}/{{{RDF}}}Alt")).insert(0, item)
    return item


def _take(root: Tree.Element, what: Property) -> tuple[Tree.Element, int] | None:
    """Remove a property wherever it is. Returns (the element that held it first, its number there), if any did."""
    place = None
    for about in _own(root):
        about.attrib.pop(what.tag, None)
        for old in about.findall(what.tag):
            place = place or (about, list(about).index(old))
            about.remove(old)
    return place


def _placed(root: Tree.Element, what: Property) -> Tree.Element:
    """An empty element of a property in place of what it was."""
    place = _take(root, what)
    if place is None:
        own = _own(root)
        about = own[0] if own else Tree.SubElement(_rdf(root), f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""})
        place = (about, len(about))
    held = Tree.Element(what.tag)
    place[0].insert(place[1], held)
    return held


def _array(root: Tree.Element, what: Property) -> Tree.Element:
    """An empty array of a property's kind, rdf:Alt, rdf:Bag or rdf:Seq, in place of what it was."""
    return Tree.SubElement(_placed(root, what), f"{{{RDF}}}{what.kind}")
