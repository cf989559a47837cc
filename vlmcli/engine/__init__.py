"""From pictures and words to an answer: llama.cpp's multimodal pipeline behind one door, `Engine`.

This folder knows pixels, tokens, sequences and the KV cache. What a caption or a box means lives above it, and so does
everything about terminals, files of results and where models come from.

    engine          the door: requests in, events out
    desk            where any thread leaves requests and collects events; cancelling, time limits
    loading         two files become everything that answering needs
    loop            answers any number of requests in one thread
    scheduler       decides who sits in which sequence, and what is computed next
    kv_cache        makes the KV cache hold what the scheduler decided
    job             a request inside the engine, and what keeps it from being answered
    chat_template   messages become prompt parts
    prompt          prompt parts become chunks for libmtmd, and a plan
    plan            a prompt as rows of the KV cache
    vision          pictures become rows, from memory or through the encoder
    answering       an answer's tokens are picked, become text, and end
    sampling        a request's sampling becomes a chain of samplers
    grammar         answers that follow a grammar
    gbnf            reads a grammar's text
    stream          tokens' bytes become text; stop strings, loops
    observer        what may look on
    stages          what each stage makes of a picture and a question, to be shown
    place           where a model goes on this machine
    amx             whether a CPU's matrix instructions can be used
    native          llama.cpp, owned and checked
"""

from vlmcli.engine.engine import Engine
from vlmcli.engine.observer import Observer

__all__ = ["Engine", "Observer"]
