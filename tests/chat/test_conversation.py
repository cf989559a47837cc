"""A conversation without an engine: what is attached, asked, taken back and let go."""

import pytest

from vlmcli.chat.conversation import Conversation
from vlmcli.errors import UsageError
from vlmcli.pictures import images
from vlmcli.values import Sampling


def picture(seed, name="a.png"):
    return images.from_pixels(bytes([seed]) * 48, (4, 4), name)


def said(conversation, question="?"):
    """What the model would be told: texts, and pictures by their sources."""
    request = conversation.request(question, Sampling(), 8)
    return [
        (message.role, *(part if isinstance(part, str) else part.source for part in message.content))
        for message in request.messages
    ]


def test_pictures_wait_for_a_question_and_come_before_it():
    talk = Conversation("be brief")
    with pytest.raises(UsageError, match="no picture to talk about"):
        talk.request("what?", Sampling(), 8)
    first = talk.attach(picture(1, "/home/ada/beach.jpg"), tokens=64)
    assert str(first) == "[picture 1: beach.jpg 4×4 → 64 tokens]"
    assert talk.attach(picture(1, "again.png")) is first
    talk.attach(picture(2, "b.png"))
    assert said(talk, "what?") == [("system", "be brief"), ("user", "/home/ada/beach.jpg", "b.png", "what?")]
    talk.answered("what?", "sand")
    assert said(talk, "and?") == [
        ("system", "be brief"),
        ("user", "/home/ada/beach.jpg", "b.png", "what?"),
        ("assistant", "sand"),
        ("user", "and?"),
    ]


def test_a_turn_taken_back_leaves_its_pictures_attached():
    talk = Conversation()
    talk.attach(picture(1))
    talk.answered("what?", "sand")
    talk.attach(picture(2, "b.png"))
    assert talk.undo().question == "what?"
    assert [one.number for one in talk.pending] == [1, 2]
    with pytest.raises(UsageError, match="no question to take back"):
        talk.undo()


def test_a_picture_is_dropped_by_its_number_wherever_it_is():
    talk = Conversation()
    talk.attach(picture(1))
    talk.answered("what?", "sand")
    talk.attach(picture(2, "b.png"))
    assert talk.drop(1).number == 1
    assert said(talk) == [("user", "what?"), ("assistant", "sand"), ("user", "b.png", "?")]
    with pytest.raises(UsageError, match="there is no picture 7") as caught:
        talk.drop(7)
    assert caught.value.hint == "there is only picture 2"
    talk.attach(picture(4, "c.png"))
    with pytest.raises(UsageError, match="there is no picture 7") as caught:
        talk.drop(7)
    assert caught.value.hint == "the pictures are 2, 3"
    talk.clear()
    assert talk.pictures == ()
    assert talk.attach(picture(3)).number == 1


def test_what_is_oldest_goes_and_the_picture_that_is_spoken_of_stays():
    talk = Conversation()
    talk.attach(picture(1))
    for question in ("what?", "where?", "why?"):
        talk.answered(question, "so")
    assert talk.shorten("when?") == "“what?” and its answer"
    assert said(talk, "when?")[0] == ("user", "a.png", "where?")
    talk.shorten("when?")
    talk.shorten("when?")
    assert said(talk, "when?") == [("user", "a.png", "when?")]
    assert talk.shorten("when?") == ""


@pytest.mark.parametrize(
    ("question", "stays"),
    [
        ("and here?", False),
        ("as in picture 1?", True),
        ("in Image #1?", True),
        ("in Beach.jpg?", True),
        ("on the beach?", True),
        ("in picture 12?", False),
        ("beaches?", False),
    ],
)
def test_an_older_picture_stays_while_it_is_named(question, stays):
    talk = Conversation()
    talk.attach(picture(1, "beach.jpg"))
    talk.answered("what?", "sand")
    talk.attach(picture(2, "b.png"))
    talk.answered("what?", "sea")
    gone = talk.shorten(question)
    assert ("picture 1" in gone) != stays
    both = ("user", "beach.jpg", "b.png", "what?")
    assert said(talk, question)[0] == (both if stays else ("user", "b.png", "what?"))
