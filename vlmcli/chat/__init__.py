"""A conversation about pictures, without a terminal: its turns, its files, and what is dropped into its line.

Does not know keys, screens or commands: `cli.chat` has those.
"""
