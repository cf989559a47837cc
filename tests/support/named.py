"""What words of the command line name: sources, and the errors of those that cannot be loaded."""

import pytest

from vlmcli.errors import SourceError
from vlmcli.pictures import sources
from vlmcli.pictures.folders import LeftOut


def found(*words, listed=(), **options):
    """The sources of words and of a list, and what is said of what was left out."""
    left_out = LeftOut()
    return list(sources.find(words, listed, left_out=left_out, **options)), str(left_out)


def names(*words):
    """The names of the sources of words."""
    return [one.name for one in found(*words)[0]]


def wrong(source):
    """What is said of a source that cannot be loaded, in one line."""
    with pytest.raises(SourceError) as told:
        source.load()
    assert "\n" not in str(told.value)
    return told.value.message
