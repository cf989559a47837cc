"""A description in an XMP sidecar file, and all else that is in it kept.

An XMP packet is RDF in XML: `dc:description` is a list of alternatives by language, of which "x-default" is the one
that programs show. Source: ISO 16684-1 (XMP), and XMP Specification Part 3 for sidecar files.
"""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree as Tree

from vlmcli.errors import VlmError

LONGEST = 16 << 20  # bytes
X, RDF, DC = "adobe:ns:meta/", "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://purl.org/dc/elements/1.1/"
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def description(packet: bytes, name: str) -> str:
    """The description in a packet; empty where it has none. Raises VlmError, which names it, for what is no packet."""
    found = _default(_read(packet, name))
    return "" if found is None else (found.text or "").strip()


def described(packet: bytes | None, text: str, name: str) -> bytes:
    """A packet with this description in place of its own, or a new one.

    Args:
        packet: what is there; None for nothing.
        text: the description.
        name: of the file, for errors.
    """
    for prefix, uri in (("x", X), ("rdf", RDF), ("dc", DC)):
        Tree.register_namespace(prefix, uri)
    if packet is None:
        root = Tree.Element(f"{{{X}}}xmpmeta")
        Tree.SubElement(Tree.SubElement(root, f"{{{RDF}}}RDF"), f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""})
    else:
        root = _read(packet, name)
        for prefix, uri in _namespaces(packet):
            if re.fullmatch(r"(?!ns\d)[A-Za-z_][\w.-]*", prefix):
                Tree.register_namespace(prefix, uri)
    item = _default(root)
    if item is None:
        item = _new(root, name)
    item.text = "".join(letter for letter in text if letter in "\t\n" or ord(letter) >= 32)
    body = Tree.tostring(root, "unicode")
    return ('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n' + body + '\n<?xpacket end="w"?>\n').encode(
        "utf-8", "replace"
    )


def _read(packet: bytes, name: str) -> Tree.Element:
    if len(packet) > LONGEST or re.search(rb"<!(?:DOCTYPE|ENTITY)", packet):
        raise VlmError(f"{name}: no XMP file that is changed here (too long, or with entities)", "move it away")
    try:
        root = Tree.fromstring(packet)
    except Tree.ParseError as error:
        raise VlmError(f"{name}: not an XMP file ({error})", "mend it, or move it away") from None
    if root.find(f".//{{{RDF}}}Description") is None and root.tag != f"{{{RDF}}}RDF":
        raise VlmError(f"{name}: XML, but no XMP", "move it away")
    return root


def _namespaces(packet: bytes) -> list[tuple[str, str]]:
    return [pair for _, pair in Tree.iterparse(io.BytesIO(packet), ("start-ns",))]


def _default(root: Tree.Element) -> Tree.Element | None:
    """The item of the description that programs show."""
    items = root.findall(f".//{{{DC}}}description/{{{RDF}}}Alt/{{{RDF}}}li")
    named = [item for item in items if item.get(LANGUAGE) == "x-default"]
    return next(iter(named or items), None)


def _new(root: Tree.Element, name: str) -> Tree.Element:
    """An item for a description, in a packet without one."""
    about = root.find(f".//{{{RDF}}}Description")
    if about is None:
        about = Tree.SubElement(root, f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""})
    about.attrib.pop(f"{{{DC}}}description", None)
    for old in about.findall(f"{{{DC}}}description"):
        about.remove(old)
    choices = Tree.SubElement(Tree.SubElement(about, f"{{{DC}}}description"), f"{{{RDF}}}Alt")
    return Tree.SubElement(choices, f"{{{RDF}}}li", {LANGUAGE: "x-default"})
