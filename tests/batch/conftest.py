"""The folder that most tests of a run are about."""

import shutil

import pytest

from tests.support.folders import SCENE


@pytest.fixture
def folder(tmp_path):
    """Six pictures, of which the fourth is none."""
    (tmp_path / "pics").mkdir()
    for name in "abcef":
        shutil.copy(SCENE, tmp_path / "pics" / f"{name}.png")
    (tmp_path / "pics" / "d.png").write_bytes(b"no picture")
    return tmp_path
