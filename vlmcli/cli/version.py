"""`vlm version` and `vlm --version`: versions, and what llama.cpp can use on this machine."""

from __future__ import annotations

import sys

from vlmcli import __version__
from vlmcli.amounts import size
from vlmcli.errors import VlmError
from vlmcli.terminal.ui import Ui


def version() -> None:
    """Show the versions of vlm and llama.cpp.

    vlm version
    """
    python = f"Python {sys.version.split()[0]}"
    with Ui() as ui:
        ui.line(f"vlm {__version__}")
        try:
            from vlmcli.engine import native

            facts = native.versions()
        except VlmError as error:  # what is asked here is of no less use then
            ui.line(python)
            ui.error(error)
            return
        ui.line(f"llama.cpp {facts['llama.cpp']}, llama-cpp-python {facts['llama-cpp-python']}, {python}")
        for device in native.devices():
            ui.line(f"{device.kind} {device.name}: {device.description}, {size(device.memory_total)}")
        ui.line(facts["features"])
