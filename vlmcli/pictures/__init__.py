"""A name becomes upright RGB pixels with an identity, and text is written beside or into a picture's file.

Knows files, folders, addresses, formats and metadata. Does not know models, questions or the terminal.
"""
