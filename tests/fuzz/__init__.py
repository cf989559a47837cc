"""Hostile input in quantity, each kind a module that is run by hand with a large count and by pytest with a small one.

    python -m tests.fuzz.NAME --count 2000 [--seed 1]

    hub              a Hub that answers `vlm pull` with what no Hub answers, and traps in its cache
    hub_answers      what it answers, drawn by chance

Each ends with a line of counts, and with exit code 1 where anything was not as it should be.
"""
