"""Waiting for what other processes do."""

import time


def until(happened, seconds=20.0):
    """Wait until something has happened, or fail."""
    ends = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < ends, "it has not happened"
        time.sleep(0.02)
