"""What a client is told when something is wrong: a status, a message, and the field that it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vlmcli.errors import VlmError

LONGEST = 1000
"""Characters of a message: what a client has sent may be named in it, and may be long."""
_FOLDERS = re.compile(r"(?<![\w/:.])(?:~?/|[A-Za-z]:\\)(?:[^/\\:'\"\s]+[/\\])+")
"""The folders of a path; addresses of the web are none."""
_ADVICE = (
    ("ulimit", "try again later, or with smaller pictures"), ("--detail", "send a smaller picture"),
    ("--ctx", "send fewer or smaller pictures, or start the server with a larger --ctx"),
    ("--timeout", "ask for fewer tokens (max_tokens)"), ("--max-tokens", "allow more tokens (max_tokens)"),
    ("--allow-local-urls", "start the server with --allow-local-urls"), (" --", ""),
)  # fmt: skip
"""What a client can do where a hint names an option of the command line, which it has none of; the first that fits."""


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


def from_error(error: VlmError, param: str = "", folders: Iterable[str] = ()) -> Wrong:
    """An error of the engine, of a picture or of a model as a client is told it.

    Folders of this machine are left out: these, which may have spaces in their names, and what looks like one.
    """
    if isinstance(error, Wrong):
        return error
    message, hint = error.message, error.hint
    if "start the server" not in hint:
        hint = next((advice for option, advice in _ADVICE if option in f" {hint}"), hint)
    for folder in folders:
        message, hint = message.replace(folder, ""), hint.replace(folder, "")
    message, hint = _FOLDERS.sub("", message), _FOLDERS.sub("", hint)
    return Wrong(message, hint, param=param, status=error.http_status, code=_code(error))


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
    message = wrong.message if len(wrong.message) <= LONGEST else f"{wrong.message[:LONGEST]}…"
    return f"{message}. {wrong.hint[:1].upper()}{wrong.hint[1:]}." if wrong.hint else message


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


def as_ollama(wrong: Wrong) -> dict[str, object]:
    """The body of an error in Ollama's shape (ollama, docs/api.md)."""
    return {"error": in_words(wrong)}


ANTHROPIC_KINDS = {
    401: "authentication_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    429: "rate_limit_error", 503: "overloaded_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
"""Anthropic's types of errors by status; others of 400 to 499 are "invalid_request_error", the rest "api_error"."""


def as_anthropic(wrong: Wrong) -> dict[str, object]:
    """The body of an error in Anthropic's shape (anthropic-sdk-python, types/shared/error_response.py).

    It has no place for the field, so that the message begins with it.
    """
    words = in_words(wrong)
    if wrong.param and wrong.param not in words:
        words = f"{wrong.param}: {words}"
    usual = "invalid_request_error" if wrong.status < 500 else "api_error"
    return {"type": "error", "error": {"type": ANTHROPIC_KINDS.get(wrong.status, usual), "message": words}}


def in_shape(wrong: Wrong, path: str) -> dict[str, object]:
    """The body of an error in the shape that clients of a path read."""
    if path.startswith("/api/"):
        return as_ollama(wrong)
    return as_anthropic(wrong) if f"{path}/".startswith("/v1/messages/") else as_openai(wrong)
