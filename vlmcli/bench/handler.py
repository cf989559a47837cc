"""What somebody writes who asks a question with llama-cpp-python: a peer of `vlm ask`, and a process of its own.

`python -m vlmcli.bench.handler MODEL PROJECTOR PICTURE QUESTION TOKENS THREADS CTX` prints the usage as JSON.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Answer one question."""
    import llama_cpp
    from llama_cpp.llama_chat_format import MTMDChatHandler

    model, projector, picture, question, tokens, threads, ctx = sys.argv[1:]
    llama = llama_cpp.Llama(
        model_path=model,
        chat_handler=MTMDChatHandler(clip_model_path=projector, verbose=False),
        n_ctx=int(ctx),
        n_threads=int(threads),
        n_threads_batch=int(threads),
        verbose=False,
    )
    url = "data:image/jpeg;base64," + base64.b64encode(Path(picture).read_bytes()).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
    reply: Any = llama.create_chat_completion(
        messages=[{"role": "user", "content": content}], temperature=0.0, max_tokens=int(tokens), repeat_penalty=1.0
    )
    sys.stdout.write(reply["choices"][0]["message"]["content"] + "\n" + json.dumps(reply["usage"]) + "\n")


if __name__ == "__main__":
    main()
