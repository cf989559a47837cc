"""What is asked of a model, and what its answer means. Pure: no pictures are read here, and nothing is run.

Knows questions, prompts and templates. Does not know where pictures come from or where results go.
"""
