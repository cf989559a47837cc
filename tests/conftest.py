"""Shared by all tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `import fakes`, in real/ too


@pytest.fixture(autouse=True, scope="session")
def own_state(tmp_path_factory):
    """What a command leaves for the next one is not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A folder of a test's own for that."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "vlm"
