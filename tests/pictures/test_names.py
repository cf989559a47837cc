"""A name that looks the same as a file's is that file's; one that is nearly the same is asked about."""

from pathlib import Path

import pytest

from tests.support.program import SCENE, vlm
from vlmcli.pictures import names

SAME = {
    "a screenshot of macOS": ("Screenshot 9.41.05\u202fAM.png", "Screenshot 9.41.05 AM.png"),
    "a space that does not break": ("my\u00a0photo.png", "my photo.png"),
    "the other way round": ("my photo.png", "my\u00a0photo.png"),
    "letters taken apart": ("cafe\u0301.png", "café.png"),
    "letters composed": ("café.png", "cafe\u0301.png"),
    "a mark that Windows copies": ("it.png", "\u202ait.png"),
    "a folder": ("mes e\u0301te\u0301s/it.png", "mes étés/it.png"),
}


@pytest.fixture
def there(tmp_path):
    """A function: a folder with the scene under this name; no test where the disk takes both names for one."""

    def put(name, other):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(Path(SCENE).read_bytes())
        if (tmp_path / other).exists():
            pytest.skip("this disk takes both names for one")
        return tmp_path

    return put


@pytest.mark.parametrize("kind", SAME)
@pytest.mark.parametrize("listed", [False, True])
def test_a_name_that_looks_the_same_is_the_file(there, kind, listed):
    name, asked = SAME[kind]
    folder = there(name, asked)
    (folder / "list.txt").write_text(asked, "utf-8")
    done = vlm("ask", "-m", "demo", *(["--files-from", "list.txt"] if listed else [asked]), "what is this?", cwd=folder)
    assert (done.returncode, done.stdout.lower().rpartition("\t")[2]) == (0, "a red circle and a blue square.\n")


def test_a_folder_and_a_frame_may_be_named_so_too(there):
    folder = there("mes e\u0301te\u0301s/it.png", "mes étés/it.png")
    assert vlm("caption", "-m", "demo", "mes étés", cwd=folder).returncode == 0
    assert vlm("ask", "-m", "demo", "mes étés/it.png#1", "what is this?", cwd=folder).returncode == 0


def test_of_two_that_look_the_same_none_is_taken(there):
    folder = there("a\u00a0b.png", "a\u202fb.png")
    there("a\u202fb.png", "a b.png")
    assert names.same(folder / "a b.png") == folder / "a b.png"
    done = vlm("ask", "-m", "demo", "a b.png", "what is this?", cwd=folder)
    assert (done.returncode, "a b.png: there is no such file" in done.stderr) == (1, True)


def test_a_name_that_is_there_is_not_looked_for(tmp_path):
    (tmp_path / "l k.png").symlink_to("gone.png")
    (tmp_path / "l\u00a0k.png").touch()
    assert names.same(tmp_path / "l k.png") == tmp_path / "l k.png"


@pytest.mark.parametrize(
    ("name", "asked", "meant"),
    [
        ("IMG_0042.JPG", "img_0042.jpg", "IMG_0042.JPG"),
        ("two.jpg", "tow.jpg", "two.jpg"),
        ("my photo.jpg", "my foto.jpg", '"my photo.jpg"'),
        ("it's.jpg", "its.jpg", '"it\'s.jpg"'),
        ("IMG_0042.JPG", "img_0042", "IMG_0042.JPG"),
        ("two.jpg", "three.png", None),
        ("two.jpg", "two_dir/two.jpg", None),
    ],
)
def test_the_nearest_name_is_asked_about_as_it_is_typed(there, name, asked, meant):
    done = vlm("ask", "-m", "demo", asked, "what is this?", cwd=there(name, asked))
    hint = f"did you mean {meant}?" if meant else "check the path"
    assert (done.returncode, done.stderr.splitlines()[-1].strip()) == (1, hint)
    assert f"{asked}: there is no such file" in done.stderr


def test_a_link_says_where_it_points(tmp_path):
    (tmp_path / "l.png").symlink_to("gone.png")
    done = vlm("ask", "-m", "demo", "l.png", "what is this?", cwd=tmp_path)
    assert (done.returncode, "l.png: a link to gone.png, which does not exist" in done.stderr) == (1, True)


def test_a_name_of_very_many_folders_is_an_error(tmp_path):
    assert names.same(tmp_path / "a b/" / ("c d/" * 1500) / "e.png").name == "e.png"
    assert names.nearest(tmp_path / ("x" * 5000)) is None
