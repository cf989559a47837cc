"""What a client is told when something is wrong: a status, a message, and the field that it is about."""

from __future__ import annotations

from vlmcli.errors import VlmError


class Wrong(VlmError):
    """A request that cannot be answered as it is.

    Attributes:
        status: of HTTP.
        param: the field of the body that is wrong, as a path: "messages[0].content[1].image_url"; empty for none.
        code: a word for programs, as OpenAI's errors have it.
        after: seconds after which the client may try again; None where that is not known.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        param: str = "",
        status: int = 400,
        code: str = "invalid_value",
        after: int | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.status, self.param, self.code, self.after = status, param, code, after


def from_error(error: VlmError, param: str = "") -> Wrong:
    """An error of the engine, of a picture or of a model as a client is told it."""
    if isinstance(error, Wrong):
        return error
    return Wrong(error.message, error.hint, param=param, status=error.http_status, code=_code(error))


def _code(error: VlmError) -> str:
    """A class's name as OpenAI writes codes: "context_full"."""
    name = type(error).__name__
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
"""OpenAI's types of errors by status; others of 400 to 499 are "invalid_request_error", the rest "server_error"."""


def kind(status: int) -> str:
    """The type of an error with that status, as OpenAI names it."""
    return KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")


def in_words(wrong: VlmError) -> str:
    """The message and what to do, as one text."""
    return f"{wrong.message}. {wrong.hint[:1].upper()}{wrong.hint[1:]}." if wrong.hint else wrong.message


def as_openai(wrong: Wrong) -> dict[str, object]:
    """The body of an error in OpenAI's shape (platform.openai.com, guides/error-codes)."""
    return {
        "error": {
            "message": in_words(wrong),
            "type": kind(wrong.status),
            "param": wrong.param or None,
            "code": wrong.code,
        }
    }
