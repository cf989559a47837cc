"""What the tests on the real engine share."""

from contextlib import contextmanager

import numpy as np

from vlmcli.engine import Engine, Observer
from vlmcli.pictures import images
from vlmcli.placement import Fit
from vlmcli.values import Answer, Done, Failed, Message, ModelFiles, Request, run

THREADS = 1
"""What an engine computes on, unless a test says otherwise; two with --all. Tiny models mostly wait for each other on
more, and what several threads compute is in test_equality and test_golden."""


def noise(seed, size=(320, 200)):
    """A picture of noise, from memory."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return images.from_pixels(pixels.tobytes(), size, f"noise-{seed}.png")


def ask(question, *pictures, tokens=24, **sampling):
    """A greedy request, unless told otherwise."""
    return Request((Message("user", (*pictures, question)),), max_tokens=tokens, **sampling)


def small_files(folder, name):
    return ModelFiles(name, folder / f"{name}.gguf", folder / f"mmproj-{name}.gguf")


class Tap(Observer):
    """Calls a function with (request id, number of the answer's token, logits) before each token is picked."""

    def __init__(self, function):
        self.picking = function


@contextmanager
def opened(files, tap=None, observer=None, caching=None, ready=True, **fit):
    """An engine that is ready, unless nobody waits for that."""
    observer = observer or (Tap(tap) if tap else None)
    with Engine(files, Fit(**{"n_ctx": 4096, "threads": THREADS, **fit}), observer, caching) as engine:
        if ready:
            engine.ready()
        yield engine


def outcomes(runner, requests):
    """What came of each request, in order; each has ended exactly once."""
    found = {}
    for number, event in run(runner, requests):
        if isinstance(event, Done | Failed):
            assert number not in found
            found[number] = event.answer if isinstance(event, Done) else event.error
    assert sorted(found) == list(range(len(found)))
    return [found[number] for number in range(len(found))]


def texts(found):
    """The answers' texts, and the errors' names."""
    return [one.text.strip() if isinstance(one, Answer) else type(one).__name__ for one in found]
