"""Shared by all tests."""

import sys
from pathlib import Path

import pytest

from vlmcli.bench import pairs

sys.path.insert(0, str(Path(__file__).parent))  # for `import fakes`, in real/ too


@pytest.fixture(autouse=True, scope="session")
def own_state(tmp_path_factory):
    """What a command leaves for the next one is not the user's, and no model of the user's is asked."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("STATE", "CONFIG"):
            patch.setenv(f"XDG_{name}_HOME", str(tmp_path_factory.mktemp(name.lower())))
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hub")))
        for name in ("VLM_MODEL", "PYTHONUNBUFFERED"):  # the latter hides what is left in a buffer
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A folder of a test's own for that."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "vlm"


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The folder of the nine small pairs, seed 0."""
    return pairs.small(tmp_path_factory.mktemp("small"))
