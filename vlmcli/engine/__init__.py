"""From pictures and words to an answer: llama.cpp's multimodal pipeline behind one door, `Engine`.

This package knows pixels, tokens, sequences and the KV cache. What a caption or a box means lives above it.
"""

from vlmcli.engine.engine import Engine, Observer

__all__ = ["Engine", "Observer"]
