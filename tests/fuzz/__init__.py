"""Hostile input in quantity, each kind a module that is run by hand with a large count and by pytest with a small one.

    python -m tests.fuzz.NAME --count 2000 [--seed 1]

Each ends with a line of counts, and with exit code 1 where anything was not as it should be.
"""
