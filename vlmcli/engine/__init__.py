"""Pictures and words become answers: llama.cpp's multimodal pipeline behind one door, `Engine`.

Knows pixels, tokens, sequences and the KV cache. Does not know what a caption or a box means, where pictures and models
come from, or who reads the answers.

    engine          the door: requests in, events out
    desk            where any thread leaves requests and collects events; cancelling, time limits
    loading         two files become everything that answering needs
    loop            answers any number of requests in one thread
    scheduler       decides who sits in which sequence, and what is computed next
    seats           sequences, requests and steps, as the scheduler has them
    kv_cache        makes the KV cache hold what the scheduler decided
    planning        a request becomes a plan of its rows, with or without the projector
    ledger          whose time it is
    job             a request inside the engine, checked, and how far it has come
    chat_template   messages become prompt parts
    template_pictures  the word that a chat template has for a picture
    template_sandbox  Jinja, where a template may do only what is listed, and all it makes is counted
    template_values   operators and methods, counted
    template_filters  filters, tests and functions, counted
    template_meter    the bounds, and who counts
    prompt          prompt parts become chunks for libmtmd, and a plan
    plan            a prompt as rows of the KV cache
    vision          pictures become rows, from memory or through the encoder
    stores          what later processes find of this one's work, and what that depends on
    embedding_store   pictures' rows on the disk
    prefix_store      beginnings of prompts on the disk
    prefixes        puts such a beginning into the KV cache, and keeps a new one
    answering       an answer's tokens are picked, become text, and end
    choices         the choices of a request as a tree of tokens, and how likely they are
    sampling        a request's sampling becomes a chain of samplers
    grammar         answers that follow a grammar
    guided          answers that follow a JSON Schema or a regular expression
    vocabulary      the bytes of all tokens, for these, kept from one command to the next
    gbnf            reads a grammar's text
    stream          tokens' bytes become text; stop strings, loops
    observer        what may look on
    stages          what each stage makes of a picture and a question, to be shown
    place           where a model goes on this machine
    native          llama.cpp, owned and checked

Importing it loads nothing: llama.cpp is loaded with the first name that is taken from here, so that what needs no model
works where llama.cpp cannot be loaded (`place.trouble` says whether it can).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlmcli.engine.engine import Engine
    from vlmcli.engine.observer import Observer

__all__ = ["Engine", "Observer"]


def __getattr__(name: str) -> Any:
    """Load `Engine` or `Observer` when somebody asks for it. Raises NativeError where llama.cpp cannot be loaded."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{name.lower()}"), name)
    return found
