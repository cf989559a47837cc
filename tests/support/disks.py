"""Disks that have no room."""

from contextlib import contextmanager


@contextmanager
def full(most):
    """No file may grow beyond so many bytes, as on a disk that is full."""
    import resource  # POSIX's

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
