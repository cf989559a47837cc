"""DICOM data sets without the mark before them: known by their first elements, and nothing else is taken for one."""

import struct

import numpy as np
import pytest
from pydicom import uid

from tests.support.dicom_files import save, spread
from tests.support.files import GRAY, INDEX, NOISE, TABLE, array, thrice, write
from tests.support.limits import refused
from tests.support.program import vlm
from vlmcli.pictures import images, signatures

SIGNED = np.random.default_rng(13).integers(-1024, 3072, (48, 64), np.int16)
NAMED = {"SOPClassUID": uid.CTImageStorage, "SOPInstanceUID": "1.2.3", "StudyDate": "20260102", "Modality": "CT"}
WORDS = {
    f"{color}PaletteColorLookupTable{part}": value
    for at, color in enumerate(("Red", "Green", "Blue"))
    for part, value in (("Descriptor", [16, 0, 16]), ("Data", (TABLE[:, at].astype("<u2") * 257).tobytes()))
}


def bare(path, pixels, meta=False, **how):
    """A data set as `save` makes it, from its first element on; with the file's own group before it for `meta`."""
    data = save(path, pixels, **NAMED, **how).read_bytes()
    if meta:
        return write(path, data[132:])
    length = struct.unpack("<L", data[140:144])[0]  # of the file's own group, which is its first element
    return write(path, data[144 + length :])


# name → (pixels, how they are saved, what must be seen)
FILES = {
    "explicit": (SIGNED, {}, thrice(spread(SIGNED))),
    "implicit": (SIGNED, {"syntax": uid.ImplicitVRLittleEndian}, thrice(spread(SIGNED))),
    "big endian": (SIGNED, {"syntax": uid.ExplicitVRBigEndian}, thrice(spread(SIGNED))),
    "implicit, a palette": (INDEX, {"syntax": uid.ImplicitVRLittleEndian, "kind": "PALETTE COLOR", **WORDS},
                            TABLE[INDEX]),
    "colours": (NOISE, {"kind": "RGB"}, NOISE),
    "a group of the file": (SIGNED, {"meta": True}, thrice(spread(SIGNED))),
    "a group of the file, big endian": (SIGNED, {"meta": True, "syntax": uid.ExplicitVRBigEndian},
                                        thrice(spread(SIGNED))),
    "a group of the file, deflated": (SIGNED, {"meta": True, "syntax": uid.DeflatedExplicitVRLittleEndian},
                                      thrice(spread(SIGNED))),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_data_set_without_the_mark_is_a_picture(tmp_path, name):
    pixels, how, wanted = FILES[name]
    path = bare(tmp_path / "IM0001", pixels, **how)
    picture = images.load(path)
    assert (array(picture) == wanted).all()
    assert "not a medical device" in picture.notices[0]
    assert images.facts(path).format == "DICOM"
    assert signatures.kind(path.read_bytes()[: signatures.HEAD]) == "DICOM"


def test_such_files_are_found_in_folders(tmp_path):
    for number, name in enumerate(("explicit", "implicit", "big endian")):
        pixels, how, _ = FILES[name]
        bare(tmp_path / f"IM{number}", pixels, **how)
    write(tmp_path / "NOTES", b"\x08\0\x05\0 are the first bytes of some files of DICOM" * 9)
    done = vlm("ask", "-m", "demo", str(tmp_path), "what is this?")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3


def elements(*parts):
    """Elements in explicit VR, little endian: (group, number, VR, value)."""
    return b"".join(struct.pack("<HH2sH", group, number, vr, len(value)) + value for group, number, vr, value in parts)


CLASS = (0x08, 0x16, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0")
FIRST = [(0x08, 0x05, b"CS", b"ISO_IR 100"), (0x08, 0x08, b"CS", b"ORIGINAL"), CLASS, (0x08, 0x18, b"UI", b"1.2.3\0")]
OTHERS = {
    "three elements": elements(*FIRST[1:]),
    "no class": elements(*FIRST[:2], (0x08, 0x18, b"UI", b"1.2\0"), (0x08, 0x20, b"DA", b"20260102"), FIRST[3]),
    "a class of somebody else's": elements(*FIRST[:2], (0x08, 0x16, b"UI", b"1.2.3\0"), FIRST[3]),
    "descending": elements(FIRST[1], FIRST[0], CLASS, FIRST[3]),
    "an odd length": elements((0x08, 0x05, b"CS", b"ISO_IR 10"), *FIRST[1:]),
    "no such VR": elements((0x08, 0x05, b"XY", b"ISO_IR 100"), *FIRST[1:]),
    "another group": elements((0x09, 0x05, b"CS", b"ISO_IR 100"), *FIRST[1:]),
    "later in the group": elements((0x08, 0x70, b"LO", b"Maker "), (0x08, 0x80, b"LO", b"Place "), CLASS, FIRST[3]),
    "bytes before it": b"\0" + elements(*FIRST),
    "words": b"\x08\0" + b"DICOM is a standard, 1.2.840.10008.5.1.4.1.1.2, ACR-NEMA" * 9,
    "zeros": b"\x08" + bytes(999),
    "nothing": b"",
}


def test_nothing_else_is_taken_for_a_data_set(tmp_path):
    assert signatures.is_data_set(elements(*FIRST))
    for name, data in OTHERS.items():
        assert not signatures.is_data_set(data), name
        if data:
            assert "not a picture in a format that vlm reads" in refused(write(tmp_path / "a.png", data)), name


def test_no_random_bytes_are_taken_for_a_data_set():
    random = np.random.default_rng(14)
    for first in (b"\x08\0\x05\0", b"\0\x08\0\x05", b"\x02\0\0\0", b"\0\x02\0\0"):
        for _ in range(500):
            assert not signatures.is_data_set(first + random.bytes(1000))


def test_a_data_set_that_is_cut_off_is_never_taken_for_a_picture(tmp_path):
    for name in ("explicit", "implicit", "big endian"):
        pixels, how, _ = FILES[name]
        data = bare(tmp_path / "a.dcm", pixels, **how).read_bytes()
        for tenth in range(1, 10):
            refused(write(tmp_path / "a.dcm", data[: len(data) * tenth // 10]))


def test_a_data_set_without_pixels_says_so(tmp_path):
    assert "without a picture" in refused(write(tmp_path / "a.dcm", elements(*FIRST)))
    data = bare(tmp_path / "b.dcm", GRAY).read_bytes()
    assert "has no picture" in refused(write(tmp_path / "b.dcm", data[: data.index(b"\xe0\x7f\x10\0")]))
