"""Makers of PDFs, object by object: forms, annotations, layers, pages, changes added behind, files for the web."""


def stream(dictionary, data):
    """An object that is a stream."""
    data = data.encode("latin-1") if isinstance(data, str) else data
    return b"<<%b/Length %d>>stream\n%b\nendstream" % (dictionary.encode("latin-1"), len(data), data)


def body(objects, start):
    """Objects one behind the other, and where each is: {number: what it is}, as bytes or text."""
    parts, places = [], {}
    for number, found in objects.items():
        places[number] = start
        parts.append(b"%d 0 obj\n%b\nendobj\n" % (number, found.encode("latin-1") if isinstance(found, str) else found))
        start += len(parts[-1])
    return b"".join(parts), places


def table(places, trailer, start, end="\n"):
    """A table of those objects, a trailer, and the end that points at `start`."""
    rows = "".join(f"{number} 1\n{place:010d} 00000 n \n" for number, place in sorted(places.items()))
    return (
        f"xref\n0 1\n0000000000 65535 f \n{rows}trailer\n<<{trailer}>>\nstartxref{end}{start}{end}%%EOF{end}".encode()
    )


def written(objects, trailer="/Root 1 0 R", head=b"%PDF-1.7\n", end="\n"):
    """A PDF of these objects: {number: what it is}."""
    out, places = body(objects, len(head))
    at = len(head) + len(out)
    return head + out + table(places, f"/Size {max(objects) + 1}{trailer}", at, end)


def changed(whole, objects):
    """A PDF with a change added behind it, as programs do that save a form: objects that replace or add to others."""
    before = int(whole[whole.rindex(b"startxref") + 9 :].split()[0])
    out, places = body(objects, len(whole))
    size = max(99, *objects) + 1
    return whole + out + table(places, f"/Size {size}/Root 1 0 R/Prev {before}", len(whole) + len(out))


def plain(contents="", page="/MediaBox[0 0 400 200]", pages="", catalog="", more=None):
    """The objects of a PDF of one page: the catalog is 1, the pages 2, the page 3, its contents 4, a font 5."""
    fonts = "" if "/Resources" in page else "/Resources<</Font<</Helv 5 0 R>>>>"
    return {
        1: f"<</Type/Catalog/Pages 2 0 R{catalog}>>",
        2: f"<</Type/Pages/Kids[3 0 R]/Count 1{pages}>>",
        3: f"<</Type/Page/Parent 2 0 R/Contents 4 0 R{fonts}{page}>>",
        4: stream("", contents),
        5: "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        **(more or {}),
    }


def linearized(objects):
    """A PDF for the web (ISO 32000-1, annex F): the first page's table is in front, and all others' at the end."""
    return _linearized(objects, *(len(part) for part in _linearized(objects, 0, 0, 0)))[2]


def _linearized(objects, first_end, main, length):
    """Three beginnings of such a file, whose lengths it says: to its first page's end, to its other table, and all."""
    first = {number: found for number, found in objects.items() if number in (1, 3)}
    others = {number: found for number, found in objects.items() if number not in first}
    hint = f"<</Linearized 1/L {length:09d}/H[0 0]/O 3/E {first_end:09d}/N 1/T {main:09d}>>"
    head = b"%PDF-1.7\n" + body({90: hint}, 9)[0]
    trailer = f"/Size 91/Root 1 0 R/Prev {main:09d}"
    places = dict.fromkeys(first, 0) | {90: 9}
    start = len(head) + len(table(places, trailer, 0))
    front, found = body(first, start)
    behind, later = body(others, start + len(front))
    until = head + table(places | found, trailer, 0) + front
    return until, until + behind, until + behind + table(later, "/Size 91", len(head))
