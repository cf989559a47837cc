"""What bounds a PDF is the work that its page makes, not how busy the machine is."""

import time

import pytest

from tests.pictures.test_hostile import linked_pdf
from tests.support.files import write
from vlmcli.errors import SourceError
from vlmcli.pictures import images, pdf

resource = pytest.importorskip("resource", reason="Windows cannot bound a child's processor time")


@pytest.mark.parametrize("depth", [0, 2, 3])
def test_a_page_that_waits_for_the_processor_is_drawn(tmp_path, monkeypatch, depth):
    monkeypatch.setattr(pdf, "SECONDS", 2.0)
    monkeypatch.setattr(pdf, "_START", "import time; time.sleep(2.2); " + pdf._START)
    start = time.monotonic()
    assert images.load(write(tmp_path / "a.pdf", linked_pdf(depth))).size == (275, 275)
    assert time.monotonic() - start > pdf.SECONDS


@pytest.mark.parametrize("depth", [7, 9])
def test_a_page_that_works_too_long_is_refused(tmp_path, monkeypatch, depth):
    monkeypatch.setattr(pdf, "SECONDS", 1.0)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with pytest.raises(SourceError, match=r"a\.pdf: drawing this PDF takes more than 1 s"):
        images.load(write(tmp_path / "a.pdf", linked_pdf(depth)))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.5


def test_one_that_waits_for_ever_is_refused_too(tmp_path, monkeypatch):
    monkeypatch.setattr(pdf, "PATIENCE", 1.0)
    monkeypatch.setattr(pdf, "_START", "import time; time.sleep(99)")
    with pytest.raises(SourceError, match=r"a\.pdf: drawing this PDF takes more than 1 s"):
        images.load(write(tmp_path / "a.pdf", linked_pdf(0)))
