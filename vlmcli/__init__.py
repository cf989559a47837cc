"""Ask questions about pictures on your own machine.

From Python: `from vlmcli import open_model` (docs/python.md).
"""

TYPE_CHECKING = False  # typing's own takes a while to import
if TYPE_CHECKING:
    from vlmcli.python.door import open_model as open_model

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """The door for programs, which is imported when it is used: the command line needs nothing of it."""
    if name == "open_model":
        from vlmcli.python.door import open_model

        return open_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
