"""Everything that a person or a pipe sees: the only printer.

Knows streams, widths, colours and Markdown. Does not know options or models' files.
"""
