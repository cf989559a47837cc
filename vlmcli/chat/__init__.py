"""A conversation about pictures, without a terminal: its turns, its files, and what is dropped into its line.

    conversation  turns, and the pictures attached to them
    transcript    a conversation as a file
    dropped       which words of a typed line are pictures

Does not know keys, screens or commands: `cli.chat` has those.
"""
