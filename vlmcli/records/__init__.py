"""Results as lines of text, and files that remember which work has been done.

Knows the formats of docs/output.md and docs/json.md, and how a journal is read and appended to. Does not know the
terminal, or who asked.
"""
