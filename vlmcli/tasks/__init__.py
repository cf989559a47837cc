"""What is asked of a model, and what its answer means. Pure: no pictures are read here, and nothing is run.

    ask         questions about pictures, and the verbs' prompts
    thinking    what a model thinks before it answers, told from the answer
    templates/  questions kept in small files

Knows questions, prompts and templates. Does not know where pictures come from or where results go.
"""
