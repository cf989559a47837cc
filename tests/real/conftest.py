"""The real engine on small models: the demo pair, nine small architectures, and one pair of a real size."""

import pytest

from real.helpers import HERE, opened
from vlmcli import demo
from vlmcli.pictures import images
from vlmcli.bench import pairs
from vlmcli.values import ModelFiles


@pytest.fixture(scope="session")
def real_pair(tmp_path_factory):
    """A pair of a real size; its encoder takes about a second a picture here."""
    folder = pairs.real(tmp_path_factory.mktemp("real"), layers=4)
    return ModelFiles("real", folder / "real.gguf", folder / "mmproj-real.gguf", encoder_layers=12)


@pytest.fixture(scope="session")
def demo_engine():
    """One engine on the demo pair, for tests that only ask."""
    with opened(demo.FILES) as engine:
        yield engine


@pytest.fixture(scope="session")
def scene():
    """A red circle and a blue square on white: red left, blue right."""
    return images.load(HERE.parent.parent / "docs" / "images" / "scene.png")
