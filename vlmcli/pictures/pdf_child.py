"""The child that draws a page of a PDF with PDFium: `pdf` starts it, bounded.

It writes one line to stdout, "pages N" or "WIDTH HEIGHT", and then the pixels. No script, action or form event of the
PDF is run: PDFium is never told that the document is opened, and is given nothing that scripts could call.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pypdfium2

    from vlmcli.pictures import pdf_copy

RATIO = 200
"""Of a page's longer side to the shorter."""
PIXELS = 40_000_000
"""The most that are drawn of a page, three bytes each."""
BEHIND = 1024
"""Bytes behind its end with which PDFium is not given the file itself: it would look for the end no further."""
IN_MEMORY = 256 << 20
"""The largest PDF that is read into memory for that."""

_MARKS = {
    3: "FreeText", 4: "Line", 5: "Square", 6: "Circle", 7: "Polygon", 8: "PolyLine", 9: "Highlight", 10: "Underline",
    11: "Squiggly", 12: "StrikeOut", 13: "Stamp", 15: "Ink",
}  # fmt: skip
"""The annotations that are seen on a page, by PDFium's numbers; others are icons, frames of links, and windows."""


class _Refused(Exception):
    """What is wrong, a tab, and what to do."""


def main() -> int:
    """The child's command: SECONDS MEMORY FILE|- END count, or page NUMBER DPI BOUND instead of count.

    Returns 3 where stdout says what is wrong.
    """
    seconds, memory, name, end, what, *rest = sys.argv[1:]
    _bound(int(memory), math.ceil(float(seconds)))
    try:
        document = _open(name, int(end))
        if what == "count":
            sys.stdout.buffer.write(b"pages %d" % len(document))
        else:
            number, dpi, bound = map(int, rest)
            _draw(document, number, dpi, bound)
    except _Refused as error:
        sys.stdout.buffer.write(str(error).encode())
        return 3
    return 0


def _bound(memory: int, seconds: int) -> None:
    """Bound this process's memory and its time on the processor, as far as the system can."""
    try:
        import resource
    except ImportError:
        return  # then its time is bounded by the parent
    limits = (resource.RLIMIT_AS, memory, memory), (resource.RLIMIT_CPU, seconds, seconds + 1)
    for kind, soft, hard in limits:  # SIGXCPU comes with the soft one of the time
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (soft, hard))


def _open(name: str, end: int) -> pypdfium2.PdfDocument:
    """The document; raises _Refused where it cannot be opened."""
    import pypdfium2

    given: str | bytes = name
    if name == "-":
        given = sys.stdin.buffer.read()
    elif Path(name).stat().st_size > end + BEHIND and end <= IN_MEMORY:
        with Path(name).open("rb") as file:
            given = file.read(end)
    try:
        return pypdfium2.PdfDocument(given)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise _Refused("the PDF is protected by a password\tsave a copy without the password first") from None
        raise _Refused(f"the PDF cannot be opened ({error})\tthe file may be damaged") from None


def _draw(document: pypdfium2.PdfDocument, number: int, dpi: int, bound: int) -> None:
    """Write a page's size and its pixels to stdout; raises _Refused for one that is not drawn."""
    import pypdfium2.raw as raw

    page = _page(document, number)
    width, height = page.get_size()
    if not (0 < width < 1e6 and 0 < height < 1e6) or max(width, height) > RATIO * min(width, height):
        raise _Refused(f"a page of {width:g}x{height:g} points\tprint it to a new PDF")
    index = max(0, number - 1)
    scale = min(bound / max(width, height), math.sqrt(PIXELS / width / height))
    if scale > dpi / 72:
        scale = min(scale, dpi / 72 * _unit(document, index))
    scale *= 1 - 1e-7  # sizes are rounded up, and PDFium has them in single precision
    with _forms(document, page, index) as forms:
        bitmap = page.render(scale=scale, may_draw_forms=False, rev_byteorder=True)
        if forms:
            flags = raw.FPDF_ANNOT | raw.FPDF_REVERSE_BYTE_ORDER
            raw.FPDF_FFLDraw(forms, bitmap, page, 0, 0, bitmap.width, bitmap.height, 0, flags)
    out = sys.stdout.buffer
    out.write(f"{bitmap.width} {bitmap.height}\t{_left_out(document, page)}\n".encode())
    pixels = memoryview(bitmap.buffer).cast("B")
    for row in range(bitmap.height):  # each of which PDFium may have made longer than its pixels
        out.write(pixels[row * bitmap.stride : row * bitmap.stride + 3 * bitmap.width])


def _page(document: pypdfium2.PdfDocument, number: int) -> pypdfium2.PdfPage:
    """A page by its number, from 1; 0 for the only one."""
    pages = len(document)
    if not pages:
        raise _Refused("a PDF without pages\tcopy or download the file again")
    if not number and pages > 1:
        raise _Refused(f"a PDF of {pages} pages\tchoose one: {{source}}#1 to {{source}}#{pages}")
    if number > pages:
        have, hint = (
            ("1 page", f"leave out #{number}") if pages == 1 else (f"{pages} pages", f"choose a page from 1 to {pages}")
        )
        raise _Refused(f"there is no page {number}; the PDF has {have}\t{hint}")
    index = max(0, number - 1)
    page = document[index]
    if 0 in page.get_size():  # viewers ignore a crop box that has nothing of the page
        page.set_cropbox(*page.get_mediabox())
        page.close()
        page = document[index]
    return page


def _left_out(document: pypdfium2.PdfDocument, page: pypdfium2.PdfPage) -> str:
    """What other viewers show of a page that has been drawn, and PDFium does not; empty for nothing.

    PDFium has made an appearance for what had none, where it can.
    """
    import pypdfium2.raw as raw

    if document.get_formtype() == raw.FORMTYPE_XFA_FULL:
        return "an XFA form, which few viewers can show; the model sees the page shown in its place"
    unseen = raw.FPDF_ANNOT_FLAG_HIDDEN | raw.FPDF_ANNOT_FLAG_NOVIEW
    names = []
    for number in range(raw.FPDFPage_GetAnnotCount(page)):
        if annotation := raw.FPDFPage_GetAnnot(page, number):
            name = _MARKS.get(raw.FPDFAnnot_GetSubtype(annotation))
            if name and not raw.FPDFAnnot_GetFlags(annotation) & unseen and not raw.FPDFAnnot_HasKey(annotation, b"AP"):
                names.append(name)
            raw.FPDFPage_CloseAnnot(annotation)
    if not names:
        return ""
    one = "annotation" if len(names) == 1 else "annotations"
    return f"skipped {len(names)} {one} that cannot be drawn ({', '.join(sorted(set(names)))})"


@contextmanager
def _forms(document: pypdfium2.PdfDocument, page: pypdfium2.PdfPage, index: int) -> Iterator[Any]:
    """What PDFium draws a page's form fields with; None for a page that has none. Hides what is on layers that are off.

    Not pypdfium2's own, which has none for fields that no form lists; viewers show these, too. Without a platform for
    scripts and without XFA, whatever PDFium was built with.
    """
    import pypdfium2.raw as raw

    annotations = [raw.FPDFPage_GetAnnot(page, number) for number in range(raw.FPDFPage_GetAnnotCount(page))]
    if any(raw.FPDFAnnot_HasKey(one, b"OC") for one in annotations if one):
        for number in _off(document, index):
            if number < len(annotations) and annotations[number]:
                _hide(annotations[number])
    fields = [one for one in annotations if one and raw.FPDFAnnot_GetSubtype(one) == raw.FPDF_ANNOT_WIDGET]
    config = raw.FPDF_FORMFILLINFO(version=2, m_pJsPlatform=None, xfa_disabled=True)
    forms = raw.FPDFDOC_InitFormFillEnvironment(document, config) if fields else None
    for field in fields:
        _as_shown(forms, field)
    for one in annotations:
        if one:
            raw.FPDFPage_CloseAnnot(one)
    if forms:
        raw.FORM_OnAfterLoadPage(page, forms)
    yield forms
    if forms:
        raw.FORM_OnBeforeClosePage(page, forms)
        raw.FPDFDOC_ExitFormFillEnvironment(forms)


def _off(document: pypdfium2.PdfDocument, index: int) -> list[int]:
    """The numbers of a page's annotations that are on layers that are off; none where the copy is not understood."""
    from vlmcli.pictures import pdf_copy

    try:
        return pdf_copy.off(_copy(document), index)
    except ValueError:
        return []


def _unit(document: pypdfium2.PdfDocument, index: int) -> float:
    """How many points a page's unit is; 1 where PDFium's copy of the page is not understood."""
    import pypdfium2

    from vlmcli.pictures import pdf_copy

    alone = pypdfium2.PdfDocument.new()
    try:
        alone.import_pages(document, [index])
        return pdf_copy.unit(_copy(alone), 0)
    except (ValueError, pypdfium2.PdfiumError):
        return 1.0
    finally:
        alone.close()


def _copy(document: pypdfium2.PdfDocument) -> pdf_copy.Copy:
    """The objects of a document, as PDFium writes them, without encryption."""
    import io

    import pypdfium2.raw as raw

    from vlmcli.pictures import pdf_copy

    written = io.BytesIO()
    document.save(written, flags=raw.FPDF_REMOVE_SECURITY)
    return pdf_copy.Copy(written.getvalue())


def _hide(annotation: Any) -> None:
    """Draw nothing of an annotation."""
    import pypdfium2.raw as raw

    raw.FPDFAnnot_SetFlags(annotation, raw.FPDFAnnot_GetFlags(annotation) | raw.FPDF_ANNOT_FLAG_HIDDEN)


def _as_shown(forms: Any, field: Any) -> None:
    """Set right what PDFium takes otherwise than viewers do: a flag that fields ignore, a box without a state."""
    import ctypes

    import pypdfium2.raw as raw

    flags = raw.FPDFAnnot_GetFlags(field)
    if flags & raw.FPDF_ANNOT_FLAG_INVISIBLE:
        raw.FPDFAnnot_SetFlags(field, flags & ~raw.FPDF_ANNOT_FLAG_INVISIBLE)
    if raw.FPDFAnnot_HasKey(field, b"AS") or not raw.FPDFAnnot_HasKey(field, b"AP"):
        return
    if raw.FPDFAnnot_GetFormFieldType(forms, field) in (raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON):
        off = ctypes.create_string_buffer("Off".encode("utf-16-le") + b"\0\0")  # as ISO 32000-1, 12.5.5 has it
        raw.FPDFAnnot_SetStringValue(field, b"AS", ctypes.cast(off, raw.FPDF_WIDESTRING))
