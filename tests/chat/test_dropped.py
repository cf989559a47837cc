"""Which words of a typed line are pictures: what terminals write for a dropped file, and what people type."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmcli.chat import dropped
from vlmcli.chat.dropped import Found, find
from vlmcli.pictures import kept, sources

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no file names with quotes and backslashes")

FILES = (
    "cat.jpg", "dog.PNG", "my photo.jpg", "photo.pdf", "notes", "it's.png", 'a "b".png', "a[1].pdf", "odd#2",
    "data:x.png", "Screenshot at 9.41\u202fAM.png", "图.png", "my", "sub dir/a.png", "sub dir/b c.webp", "a.png",
    "up/b.png", "1.jpg 2.jpg", "photo (1).jpg",
)  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A home with files of odd names, and folders, of which one looks like a picture."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(dropped, "WINDOWS", False)
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    """The paths that the disk was asked for."""
    paths = []
    real = Path.stat

    def stat(path, **how):
        paths.append(str(path))
        return real(path, **how)

    monkeypatch.setattr(Path, "stat", stat)
    return paths


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(dropped, "WINDOWS", True)


def check(line, words, text, missing=(), home=""):
    """`@` stands for the home folder, `{name}` for the last part of its name."""

    def full(string):
        return string.replace("@", str(home)).replace("$", SITE).replace("{name}", Path(home).name)

    assert find(full(line)) == Found(tuple(map(full, words)), full(text), tuple(map(full, missing)))


DROPS = [
    ("what is this? '@/my photo.jpg'", ["@/my photo.jpg"], "what is this?"),
    ("what is this?'@/my photo.jpg'", ["@/my photo.jpg"], "what is this?"),
    ("what is this?@/cat.jpg", ["@/cat.jpg"], "what is this?"),
    ("@/my\\ photo.jpg what is this?", ["@/my photo.jpg"], "what is this?"),
    ("@/my\\ photo.jpg ", ["@/my photo.jpg"], ""),
    ("@/photo\\ \\(1\\).jpg, what?", ["@/photo (1).jpg"], "what?"),
    ("@/it\\'s.png what?", ["@/it's.png"], "what?"),
    ("'@/it'\\''s.png' what?", ["@/it's.png"], "what?"),
    ('"@/it\'s.png" what?', ["@/it's.png"], "what?"),
    ("'@/a \"b\".png'", ['@/a "b".png'], ""),
    ('"@/a \\"b\\".png"', ['@/a "b".png'], ""),
    ("file://@/my%20photo.jpg", ["@/my photo.jpg"], ""),
    ("FILE://localhost@/my%20photo.jpg what?", ["@/my photo.jpg"], "what?"),
    ("file://@/photo.pdf#2", ["@/photo.pdf#2"], ""),
    ("file://@/notes", ["@/notes"], ""),
    ("'@/my photo.jpg' '@/a.png'\nand?", ["@/my photo.jpg", "@/a.png"], "and?"),
    ("'@/my photo.jpg''@/a.png'", ["@/my photo.jpg", "@/a.png"], ""),
    ("@/cat.jpg\n@/my photo.jpg\r\n@/a.png\n", ["@/cat.jpg", "@/my photo.jpg", "@/a.png"], ""),
    ("& '@/my photo.jpg' what?", ["@/my photo.jpg"], "what?"),
    ("you\n& '@/my photo.jpg'\nme", ["@/my photo.jpg"], "you\nme"),
    ("you & '@/my photo.jpg'", ["@/my photo.jpg"], "you &"),
    ("@/Screenshot\\ at\\ 9.41\u202fAM.png what?", ["@/Screenshot at 9.41\u202fAM.png"], "what?"),
]
TYPED = [
    ("~/cat.jpg", ["~/cat.jpg"], ""),
    ("'~/my photo.jpg' and ~/notes?", ["~/my photo.jpg"], "and ~/notes?"),
    ("./a.png up/../a.png compare them", ["./a.png", "up/../a.png"], "compare them"),
    ("../{name}/a.png what?", ["../{name}/a.png"], "what?"),
    ("cat.jpg what is it?", ["cat.jpg"], "what is it?"),
    ("what is in cat.jpg?", ["cat.jpg"], "what is in?"),
    ("look at dog.PNG, a.png: and compare", ["dog.PNG", "a.png"], "look at and compare"),
    ("I see cat.jpg.", ["cat.jpg"], "I see."),
    ("I see cat.jpg... then?", ["cat.jpg"], "I see... then?"),
    ("(cat.jpg) [dog.PNG] is it?", ["cat.jpg", "dog.PNG"], "is it?"),
    ("is “cat.jpg” or `a.png` good? 看「图.png」", ["cat.jpg", "a.png", "图.png"], "is or good? 看"),
    ("(see cat.jpg) well?", ["cat.jpg"], "(see) well?"),
    ('is "cat.jpg" a good name?', ["cat.jpg"], "is a good name?"),
    ('"what is in cat.jpg"', ["cat.jpg"], '"what is in"'),
    ("cat.jpg是什么", ["cat.jpg"], "是什么"),
    ("这是什么\u3000图.png", ["图.png"], "这是什么"),
    ("请看@/cat.jpg", ["@/cat.jpg"], "请看"),
    ("photo.pdf#2 what?", ["photo.pdf#2"], "what?"),
    ("@/photo.pdf\\#2 what?", ["@/photo.pdf#2"], "what?"),
    ("./odd#2", ["./odd#2"], ""),
    ("data:x.png", ["./data:x.png"], ""),
    ("./notes what?", ["./notes"], "what?"),
    ("what?  a.png  Well,  so. ", ["a.png"], "what? Well,  so. "),
    ("  a.png\n\n what?", ["a.png"], "what?"),
    ("one\n\na.png two", ["a.png"], "one\n\ntwo"),
    ("cat.jpg cat.jpg same?", ["cat.jpg", "cat.jpg"], "same?"),
]
SPACES = [
    ("@/my photo.jpg", ["@/my photo.jpg"], ""),
    ("@/my photo.jpg what is this, and who's that?", ["@/my photo.jpg"], "what is this, and who's that?"),
    ("what is this? @/my photo.jpg", ["@/my photo.jpg"], "what is this?"),
    ("what is this? @/sub dir/b c.webp?", ["@/sub dir/b c.webp"], "what is this??"),
    ("@/my cat", ["@/my"], "cat"),
    ("@/my photo.jpg @/sub dir/a.png and @/cat.jpg", ["@/my photo.jpg", "@/sub dir/a.png", "@/cat.jpg"], "and"),
    ("my photo.jpg what is it?", ["my photo.jpg"], "what is it?"),
    ("what is in my photo.jpg, and sub dir/a.png", ["my photo.jpg", "sub dir/a.png"], "what is in and"),
    ("1.jpg 2.jpg what?", ["1.jpg 2.jpg"], "what?"),
    ("@/it's.png what's it?", ["@/it's.png"], "what's it?"),
    ("Screenshot at 9.41\u202fAM.png", ["Screenshot at 9.41\u202fAM.png"], ""),
    ('"@/my photo.jpg what?', ["@/my photo.jpg"], '" what?'),
    ("file://@/my photo.jpg what?", ["@/my photo.jpg"], "what?"),
]
SITE = "https://example.org"
ADDRESSES = [  # "$" stands for it
    ("$/cat.png describe it", ["$/cat.png"], "describe it"),
    ("HTTP://e.org/cat.PNG?w=3#2", ["HTTP://e.org/cat.PNG?w=3#2"], ""),
    ("what is $/cat.png?", ["$/cat.png"], "what is?"),
    ("see ($/a.png), '$/b_(c).png'", ["$/a.png", "$/b_(c).png"], "see"),
    ("请看$/cat.png是什么", ["$/cat.png"], "请看是什么"),
    ("$/x", ["$/x"], ""),
    (" $ ", ["$"], ""),
    ("cat.jpg $/x", ["cat.jpg", "$/x"], ""),
    ("$/x\n$/y, cat.jpg", ["$/x", "$/y", "cat.jpg"], ""),
    ("$/x cat.jpg what?", ["cat.jpg"], "$/x what?"),
]
LOST = [
    ("@/none.jpg what?", [], "@/none.jpg what?", ["@/none.jpg"]),
    ("'@/no such.jpg' and @/no\\ such.jpg", [], "'@/no such.jpg' and @/no\\ such.jpg", ["@/no such.jpg"]),
    ("what? @/no such.jpg, hm", [], "what? @/no such.jpg, hm", ["@/no such.jpg"]),
    ("cat.jpg ~/none.png", ["cat.jpg"], "~/none.png", ["~/none.png"]),
    ("file://@/no%20such.png", [], "file://@/no%20such.png", ["file://@/no%20such.png"]),
    ("file://elsewhere/a.png", [], "file://elsewhere/a.png", ["file://elsewhere/a.png"]),
    (r'"C:\Users\Ada\my photo.jpg"', [], r'"C:\Users\Ada\my photo.jpg"', [r"C:\Users\Ada\my photo.jpg"]),
    (r"& 'C:\a b.png'", [], r"& 'C:\a b.png'", [r"C:\a b.png"]),
    (r"C:\Users\Ada\my photo.jpg it?", [], r"C:\Users\Ada\my photo.jpg it?", [r"C:\Users\Ada\my photo.jpg"]),
    ("@/none.pdf#3", [], "@/none.pdf#3", ["@/none.pdf#3"]),
    ("@/none/图/cat.jpg", [], "@/none/图/cat.jpg", ["@/none/图/cat.jpg"]),
    ("/\0/a\0.png ~/\ud800.jpg", [], "/\0/a\0.png ~/\ud800.jpg", ["/\0/a\0.png", "~/\ud800.jpg"]),
    ("@/nothing like cat.jpg", ["cat.jpg"], "@/nothing like", []),
    ("none.jpg what?", [], "none.jpg what?", ["none.jpg"]),
    ("none.jpg是什么", [], "none.jpg是什么", ["none.jpg"]),
    ("what is in none.jpg?", [], "what is in none.jpg?", ["none.jpg"]),
    ("what is it: 'none.jpg'", [], "what is it: 'none.jpg'", ["none.jpg"]),
    ("./none.jpg what?", [], "./none.jpg what?", ["./none.jpg"]),
    ("up/none.jpg", [], "up/none.jpg", ["up/none.jpg"]),
    ("no/none.jpg what is this?", [], "no/none.jpg what is this?", ["no/none.jpg"]),
    ("up/no such.jpg what is this?", [], "up/no such.jpg what is this?", ["up/no such.jpg"]),
    ("what do you see in up/none.jpg, please", [], "what do you see in up/none.jpg, please", ["up/none.jpg"]),
    ("up/no\\ such.jpg what?", [], "up/no\\ such.jpg what?", ["up/no such.jpg"]),
    ("no\\ such.jpg", [], "no\\ such.jpg", ["no such.jpg"]),
    ("'no such.jpg' what?", [], "'no such.jpg' what?", ["no such.jpg"]),
    ('"no/no such.jpg"', [], '"no/no such.jpg"', ["no/no such.jpg"]),
    ("'none.jpg' 'up/b.png' which?", ["up/b.png"], "'none.jpg' which?", ["none.jpg"]),
    ("up/b.png none.jpg which?", ["up/b.png"], "none.jpg which?", ["none.jpg"]),
    ("(none.jpg) what?", [], "(none.jpg) what?", ["none.jpg"]),
    ("cat.jpg and none.jpg", ["cat.jpg"], "and none.jpg", ["none.jpg"]),
    ("none.pdf#2", [], "none.pdf#2", ["none.pdf#2"]),
    ("请看图/none.png", [], "请看图/none.png", ["请看图/none.png"]),
    (
        "cat\0.jpg ~\0 \udcff.png \ud800.png",
        [],
        "cat\0.jpg ~\0 \udcff.png \ud800.png",
        ["cat\0.jpg", "\udcff.png", "\ud800.png"],
    ),
]
NONE = [
    "what's this dog's name?",
    'is "cat.png" a good name?',
    "folder.png",
    "./folder.png ~/folder.png what?",
    "~",
    "/",
    ".",
    "what does notes say",
    "and/or? he/she.",
    "/help me with b.png",
    "// a comment on none.png",
    "cat.jpg.bak and xcat.jpg and cat.jpgs",
    "see https://example.org/x and https://example.org/cat.html",
    "https://cat.png is a host, https:// is none",
    "it costs 3.50. Or \\$4?  'Yes',  she said\n\n  \"no\" ",
    "data:image/png;base64,AAAA",
    "what is a .jpg?",
    "is it photo.png or a scan?",
    "does 'photo.png' or a/photo.png stand there",
    "and/or is it photo.png here",
    "",
    " \n",
]


@pytest.mark.parametrize("case", DROPS + TYPED + SPACES + ADDRESSES + LOST, ids=lambda case: case[0])
def test_pictures_are_told_from_text(folder, case):
    check(*case, home=folder)


@pytest.mark.parametrize("line", NONE)
def test_other_lines_stay_as_they_are(line):
    assert find(line) == Found((), line)


def test_a_name_in_the_middle_is_missing_where_no_picture_is():
    assert find("is it photo.png or a scan?", anywhere=True).missing == ("photo.png",)
    assert find("what is a .jpg?", anywhere=True).missing == ()
    assert find("cat.jpg is it photo.png or a scan?", anywhere=True).missing == ()


@pytest.mark.parametrize("case", DROPS + TYPED + SPACES + LOST, ids=lambda case: case[0])
def test_a_line_without_its_pictures_is_the_text(folder, case):
    line = case[0].replace("@", str(folder)).replace("{name}", folder.name)
    assert dropped.without(line, find(line).words) == find(line).text


@pytest.mark.parametrize("case", DROPS + TYPED + SPACES + LOST, ids=lambda case: case[0])
def test_sources_takes_each_word_for_the_file_that_is_meant(folder, case, monkeypatch):
    monkeypatch.setattr(kept, "is_url", lambda word: False)
    for word in find(case[0].replace("@", str(folder)).replace("{name}", folder.name)).words:
        (source,) = sources.find([word])
        assert source.file.is_file()


def test_a_page_of_a_name_that_looks_like_a_pattern_is_one(folder):
    (word,) = find("a[1].pdf#2").words
    (source,) = sources.find([word])
    assert (source.file, source.frame) == (folder / "a[1].pdf", 2)


WINDOWS_FILES = (
    r"C:\Users\Ada\my photo.jpg",
    r"C:\cat.jpg",
    r"C:\it's.png",
    r".\a.png",
    r"\\box\b c.png",
    r"D:\Ada's\a b",
)
WINDOWS_LINES = [
    (r'"C:\Users\Ada\my photo.jpg" what?', [WINDOWS_FILES[0]], "what?"),
    (r"& 'C:\Users\Ada\my photo.jpg'", [WINDOWS_FILES[0]], ""),
    (r"what? C:\Users\Ada\my photo.jpg", [WINDOWS_FILES[0]], "what?"),
    (r"C:\Users\Ada\my photo.jpg what's it?", [WINDOWS_FILES[0]], "what's it?"),
    (r'"C:\cat.jpg""C:\Users\Ada\my photo.jpg"', [WINDOWS_FILES[1], WINDOWS_FILES[0]], ""),
    (r"& 'C:\it''s.png' what?", [WINDOWS_FILES[2]], "what?"),
    (r".\a.png and \\box\b c.png", [WINDOWS_FILES[3], WINDOWS_FILES[4]], "and"),
    (r"D:\Ada's\a b c", [WINDOWS_FILES[5]], "c"),
]


@pytest.mark.parametrize(("line", "words", "text"), WINDOWS_LINES)
def test_backslashes_are_separators_on_windows(folder, windows, line, words, text):
    for name in WINDOWS_FILES:
        os.close(os.open(name, os.O_CREAT))
    check(line, words, text)


def test_a_missing_path_of_windows_is_told_of(windows):
    lines = (r"C:\a\b.png what?", r"'C:\a b.png'", r"\\box\a b.png", "file:///C:/a%20b.png")
    assert [find(line).missing for line in lines] == [
        (r"C:\a\b.png",), (r"C:\a b.png",), (r"\\box\a b.png",), ("file:///C:/a%20b.png",),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line", ["what is this", "what, no: picture? (none) é — 这是什么", "x" * 100_000, "a b " * 25_000]
)
def test_plain_text_costs_no_look_at_the_disk(asked, line):
    assert find(line) == Found((), line)
    assert not asked


HARD = [
    "/", "/ ", "/a ", "?/", "'", '"', "' ", "'\" ", "'' '", "\\", "\\a", " \\", "/\\ ", "a.png ", "none.png ",
    "none.png,", "x none.png ", ".png", "~", "~/", "~x ", "~x/a.png ", "./", "'/a.png ", "https://", "https://x ",
    "https://x/a.png ", "file:///", "file:///a.png ", "& ", "& '", "a.png\n", "a.png'", "#", "a.png#2", "cat.jpg, ",
    "'cat.jpg' ", "(", "(cat.jpg)", "/a b c ", "/a.png b\\ c ", "/" + "x" * 300 + " ", "x" * 300 + ".png ", "图",
    "图/a.png", "\0", "\0/a.png ", "\udcff/a.png ", "\ud800.png ", "%", "file:///%00.png ", "a.png?/b.png", "! ",
    '"/a\\', "'a'\"b\"", ". ", "[", "[*].png#2 ", "C:\\a.png ",
]  # fmt: skip


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("part", HARD)
def test_a_long_line_takes_little_time_and_few_looks(asked, monkeypatch, part, windows):
    monkeypatch.setattr(dropped, "WINDOWS", windows)

    def seconds(length):
        asked.clear()
        start = time.process_time()
        find(part * (length // len(part)))
        assert len(asked) <= dropped.MAX_STATS
        return time.process_time() - start

    # In proportion, it is four times as long; with the square of the length, sixteen times.
    assert seconds(100_000) < 10 * max(0.05, seconds(25_000))


def test_many_pictures_are_found(folder, asked):
    drops = [str(folder / "my photo.jpg"), str(folder / "cat.jpg")] * 90
    for line in (" ".join(drop.replace(" ", "\\ ") for drop in drops), "\n".join(drops), " ".join(map(repr, drops))):
        assert find(f"{line} what?") == Found(tuple(drops), "what?")
    for number in range(100):
        (folder / f"{number}.png").touch()
    names = [f"{number}.png" for number in range(100)]
    asked.clear()
    assert find("compare " + "\n".join(names)).words == tuple(names)
    assert len(asked) <= dropped.MAX_STATS


NAMES = ["cat.jpg", "my photo.jpg", "'my photo.jpg'", "my\\ photo.jpg", "~/cat.jpg", "C:\\"]
PIECES = st.sampled_from([*HARD, *NAMES, " ", "\n", "what?", "it's"])


@given(st.one_of(st.text(), st.lists(PIECES).map("".join), st.text("/\\'\"~.#&: abjpng\n", max_size=200)))
def test_no_line_is_an_error(line):
    found = find(line)
    if not found.words:
        assert found.text == line
    for word in (*found.words, *found.missing):
        assert word
    assert len(found.text) <= len(line)


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\\.")))
def test_text_without_pictures_comes_back_unchanged(text):
    assert find(text) == Found((), text)


@given(st.lists(st.text("abc ,?!'\"", min_size=1).filter(str.strip), min_size=2, max_size=4))
def test_what_is_around_pictures_is_kept(texts):
    found = find(" cat.jpg ".join(texts))
    assert found.words == ("cat.jpg",) * (len(texts) - 1)
    assert "".join(found.text.split()) == "".join("".join(texts).split())
