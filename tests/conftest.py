"""Shared by all tests."""

import hashlib
import os
import signal
from collections import Counter

import hypothesis
import pytest
from filelock import FileLock

from tests.support import ROOT, engines
from tests.support.engines import opened, small_files
from tests.support.families import files_of
from tests.support.program import keep_speed
from vlmcli import demo, settings
from vlmcli.bench import pairs
from vlmcli.cli import daily
from vlmcli.pictures import images
from vlmcli.values import ModelFiles

SLOW = (
    "batch", "bench", "cli", "demo/test_accuracy.py", "mcp", "pictures/test_hostile.py", "runners", "reports",
    "test_docs.py", "test_python_door.py", "../llm-vlm",
    "machine/test_cost.py", "terminal/test_clipboard.py", "terminal/test_nothing_but_ours.py",
    "terminal/test_progress.py", "server",
    "engine/test_demo", "engine/test_equality", "engine/test_golden", "engine/test_grammar", "engine/test_hazards",
    "engine/test_lifecycle", "engine/test_stages", "engine/test_turns",
)  # fmt: skip
"""What runs models or processes by the dozen; all else is marked `fast`."""

# A busy machine makes properties slow, and none of them is about time.
hypothesis.settings.register_profile("all", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("some", hypothesis.settings.get_profile("all"), max_examples=40)


def pytest_xdist_auto_num_workers(config):
    """One process more than cores: many tests wait for a process, a server or a clock."""
    return (os.cpu_count() or 1) + 1


def pytest_addoption(parser):
    parser.addoption(
        "--all",
        action="store_true",
        help="run every case of the tests that try many combinations, not some of each, and more kills, scenes and "
        "random examples; let tiny models compute on two threads",
    )


def pytest_configure(config):
    everything = config.getoption("--all")
    engines.THREADS = 2 if everything else 1
    hypothesis.settings.load_profile("all" if everything else "some")


@pytest.fixture(scope="session")
def everything(pytestconfig):
    """Whether --all is given, for tests that otherwise try fewer of the same."""
    return pytestconfig.getoption("--all")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--all"):
        _sample(config, items)
        for mark in {"families", "cluster"} - set(config.getoption("-m").split()):
            _leave_out(config, items, {item for item in items if item.get_closest_marker(mark)})
    for item in items:
        if not os.path.relpath(item.path, ROOT / "tests").replace(os.sep, "/").startswith(SLOW):
            item.add_marker("fast")


def _sample(config, items):
    """Leave out all but every n-th case of a test that is marked `sample(n)`, always the same ones."""
    numbers, left_out = Counter(), set()
    for item in items:
        mark = item.get_closest_marker("sample")
        if mark is not None:
            test = item.nodeid.partition("[")[0]
            if numbers[test] % mark.args[0]:
                left_out.add(item)
            numbers[test] += 1
    _leave_out(config, items, left_out)


def _leave_out(config, items, some):
    if some:
        config.hook.pytest_deselected(items=list(some))
        items[:] = [item for item in items if item not in some]


@pytest.fixture(autouse=True, scope="session")
def own_state(tmp_path_factory, everything):
    """What a command leaves for the next one is not the user's, and no model of the user's is asked.

    The demo model's notice counts as shown, so that a test's stderr has only what it is about. The machine's speed
    counts as measured, which takes seconds. Unless --all is given, OpenMP gives each process that is started one
    thread; this one has loaded it before.
    Ctrl-C is not ignored, as it is in what a shell runs in the background, and in all that is started from there.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("STATE", "CONFIG", "CACHE"):
            patch.setenv(f"XDG_{name}_HOME", str(tmp_path_factory.mktemp(name.lower())))
        daily.remember(settings.state_folder())
        keep_speed(settings.state_folder())
        if not everything:
            patch.setenv("OMP_THREAD_LIMIT", "1")
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hub")))
        for name in ("VLM_MODEL", "PYTHONUNBUFFERED"):  # the latter hides what is left in a buffer
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def own_cache(own_state, request, monkeypatch):
    """What the commands of a test keep for one another is no other test's."""
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.join(os.environ["XDG_CACHE_HOME"], name))  # noqa: PTH118 - a text


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A folder of a test's own for that."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    daily.remember(tmp_path / "state" / "vlm")
    keep_speed(tmp_path / "state" / "vlm")
    return tmp_path / "state" / "vlm"


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The folder of the nine small pairs, seed 0."""
    return pairs.small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def family(request, tmp_path_factory):
    """A family's small pair, made once for all processes of a run."""
    folder = _shared(tmp_path_factory) / "families" / request.param
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        files = small_files(folder, request.param)
        return files if files.projector.exists() else files_of(request.param, folder)


def _shared(tmp_path_factory):
    """The temporary folder of all processes of a run."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def slow(tmp_path_factory):
    """The folder of a pair of a real size, made once for all processes of a run.

    Its encoder takes about a second a picture on one thread, and its answers have no end.
    """
    folder = _shared(tmp_path_factory) / "a-real-pair"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            made = tmp_path_factory.getbasetemp() / "a-real-pair-in-the-making"
            made.mkdir()
            pairs.real(made, layers=4, encoder_layers=6).rename(folder)
    return folder


@pytest.fixture(scope="session")
def real_pair(slow):
    """That pair."""
    return ModelFiles("real", slow / "real.gguf", slow / "mmproj-real.gguf", encoder_layers=6)


@pytest.fixture(scope="session")
def demo_engine():
    """One engine on the demo pair, for tests that only ask."""
    with opened(demo.FILES) as engine:
        yield engine


@pytest.fixture(scope="session")
def scene():
    """A red circle and a blue square on white: red left, blue right."""
    return images.load(ROOT / "docs" / "images" / "scene.png")
