"""Ask questions about pictures on your own machine.

From Python: `from vlmcli import open_model` (docs/python.md).
"""

TYPE_CHECKING = False  # typing's own takes a while to import
if TYPE_CHECKING:
    from vlmcli.python.door import open_model as open_model
    from vlmcli.python.listed import list_models as list_models

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """The doors for programs, each imported when it is used: the command line needs nothing of them."""
    if name == "open_model":
        from vlmcli.python.door import open_model

        return open_model
    if name == "list_models":
        from vlmcli.python.listed import list_models

        return list_models
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
