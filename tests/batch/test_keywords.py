"""Keywords, however a model writes them; and a sentence is none."""

import pytest

from tests.support.folders import vlm
from vlmcli.batch.keywords import keywords
from vlmcli.errors import VlmError
from vlmcli.pictures import xmp

CAT_DOG = ["cat", "dog"]


@pytest.mark.parametrize(
    "text",
    [
        "cat, dog", "cat; dog", "cat\ndog", "cat, dog.", "cat,dog,", " cat ,  dog \n", "cat | dog", "cat · dog",
        "cat • dog", "cat、dog", "cat，dog", "cat；dog。", "cat، dog",
        "- cat\n- dog", "* cat\n* dog", "• cat\n• dog", "+ cat\n+ dog", "1. cat\n2. dog", "1) cat\n2) dog",
        "(1) cat\n(2) dog", "– cat\n– dog", "- [ ] cat\n- [x] dog", "> cat\n> dog", "# cat\n# dog", "#cat, #dog",
        "**cat**, **dog**", "- **cat**\n- *dog*", "`cat`, `dog`", "_cat_, __dog__", "1. **cat**.\n2. **dog**.",
        '"cat", "dog"', "'cat', 'dog'", "“cat”, „dog“", "«cat», «dog»", "「cat」、「dog」",
        '["cat", "dog"]', '{"keywords": ["cat", "dog"]}', '{"tags": "cat, dog"}',
        '[{"keyword": "cat"}, {"keyword": "dog"}]',
        '{"image": 1, "keywords": ["cat", "dog"], "confidence": "high"}', '{"animals": ["cat"], "others": ["dog"]}',
        "```\ncat, dog\n```", '```json\n["cat", "dog"]\n```', "Here you are:\n```\ncat\ndog\n```\nAnything else?",
        '```json\n{"keywords": ["cat", "dog"]}', 'Keywords: ["cat", "dog"]', 'Here are the keywords:\n["cat", "dog"]',
        "Keywords: cat, dog", "**Keywords:** cat, dog", "Tags: cat, dog", "Keywords:\n- cat\n- dog",
        "Hashtags: #cat, #dog",
        "Here are some keywords for the image:\n\n1. cat\n2. dog", "Sure! Here are the tags: cat, dog",
        "关键词：cat、dog",
        "Schlagwörter: cat, dog", "Mots-clés : cat, dog", "Objects:\n- cat\n- dog", "Animals: cat, dog",
        "cat, and dog", "cat, dog, Cat", "cat, dog, CAT, Dog", "cat,\n\ndog", "\tcat\tdog",
    ],
)  # fmt: skip
def test_keywords_are_read_however_they_are_written(text):
    assert keywords(text) == CAT_DOG


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("cat", ["cat"]),
        ("black dog, green grass", ["black dog", "green grass"]),
        ("猫、狗", ["猫", "狗"]),
        ("Paris, paris, PARIS", ["Paris"]),
        ("New York City at night, skyline", ["New York City at night", "skyline"]),
        ("rock and roll, sand", ["rock and roll", "sand"]),
        ("C++, C#, 3D", ["C++", "C#", "3D"]),
        ("1980s, 35 mm", ["1980s", "35 mm"]),
        ("mother-in-law, T-shirt", ["mother-in-law", "T-shirt"]),
        ("U.S. Army, St. Peter's", ["U.S. Army", "St. Peter's"]),
        ("[]", []),
    ],
)
def test_what_is_within_a_keyword_stays(text, words):
    found = keywords(text)
    assert [word.rstrip(".") for word in found] == [word.rstrip(".") for word in words]


@pytest.mark.parametrize(
    "text",
    [
        "The image shows a cat sitting on a mat.",
        "A cat on a mat.",
        "There is a cat, and beside it there is a dog.",
        "The picture shows a cat, a dog, and a red ball.",
        "I'm sorry, but I cannot see any picture here.",
        "A cat and a dog are sitting beside one another on a green lawn in the sun",
        "Das Bild zeigt eine Katze, die auf einer Matte liegt und schläft.",
        "这张图片显示了一只猫坐在垫子上。",
    ],
)
def test_a_sentence_is_an_error_that_names_the_picture(text):
    with pytest.raises(VlmError, match=r"a\.jpg: the answer is a sentence, not keywords") as caught:
        keywords(text, "a.jpg")
    assert "-t tags" in caught.value.hint


def test_a_sentence_is_not_written_among_keywords(folder):
    """The demo model answers with a sentence: that is the error of its picture, and there is no sidecar."""
    command = ("ask", "-m", "demo", "pics/a.png", "-q", "Describe this image.", "--sidecar", "xmp", "--keywords")
    done = vlm(folder, *command)
    assert (done.returncode, "pics/a.xmp: the answer is a sentence" in done.stderr) == (1, True)
    assert not (folder / "pics" / "a.xmp").exists()
    done = vlm(folder, *command[:5], "Is there a red circle?", *command[6:])
    assert done.returncode == 0
    assert xmp.subjects((folder / "pics" / "a.xmp").read_bytes(), "a")
