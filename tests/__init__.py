"""The tests of vlmcli, which mirror its folders. `python -m tests.map` prints these."""

import os
import sys

# Several processes share the cores here, so threads of llama.cpp that wait for one another must let others work.
# libgomp reads it when it loads; `vlm` lets them spin for a moment, which is faster where nothing else runs.
os.environ.setdefault("GOMP_SPINCOUNT", "0")

# Some hundred processes are started, and each would compile the same files anew where the results may not be kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
