"""The tests of vlmcli, which mirror its folders. `python -m tests.map` prints these."""

import os

# Several processes share the cores here, so threads of llama.cpp that wait for one another must let others work.
# libgomp reads it when it loads; `vlm` lets them spin for a moment, which is faster where nothing else runs.
os.environ.setdefault("GOMP_SPINCOUNT", "0")
