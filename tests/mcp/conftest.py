"""A server with the demo model, whose client may see the scenes of a folder."""

import pytest

from tests.mcp import live


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """What the server may read."""
    return tmp_path_factory.mktemp("allowed")


@pytest.fixture(scope="package")
def client(own_state, folder, tmp_path_factory):
    """One for all tests that only ask."""
    log = tmp_path_factory.mktemp("log") / "stderr.txt"
    with live.serving(log, "--allow", folder, "--allow", live.ROOT / "docs" / "images") as found:
        yield found
