"""Shared by the tests of commands."""

import pytest

from tests.support.hub import Hub
from tests.support.place import MODEL, PROJECTOR, REPOSITORY, Place, publish


@pytest.fixture
def place(tmp_path):
    with Hub() as hub:
        publish(hub, REPOSITORY, MODEL, PROJECTOR)
        yield Place(hub, tmp_path)
