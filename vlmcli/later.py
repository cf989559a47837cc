"""Modules that are imported when something of them is first used, and not when a program starts.

numpy takes as long to import as all of `vlm` does, and llama.cpp needs none of it to load a model: who puts it off lets
a model load meanwhile. The type checker sees the module itself:

    if TYPE_CHECKING:
        import numpy as np
    else:
        np = Later("numpy")
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Later:
    """Stands for a module, which it imports when it is asked for something of it."""

    def __init__(self, name: str) -> None:
        """Import nothing yet.

        Args:
            name: of the module, with dots.
        """
        self._name = name

    def __getattr__(self, name: str) -> Any:
        """What the module calls so; from now on it is found here without a call."""
        found = getattr(import_module(self._name), name)
        setattr(self, name, found)
        return found
