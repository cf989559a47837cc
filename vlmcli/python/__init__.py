"""The door for Python programs: a model is opened once, and asked as the command line asks it.

    door       `open_model`: settings, and the model's name becomes files, or the servers that have it
    model      `Model`: its methods are the verbs of the command line
    options    what each question can be told beside its pictures: sampling, lengths, forms
    given      what stands for a picture: a path, an address, bytes, a picture of Pillow's
    sharing    one runner for many threads
    tasks      questions and fields behind earlier turns of a conversation
    listed     the models on this machine
    streaming  an answer that is read while it is written

Docs: docs/python.md. Prints nothing, changes no signal handler, and asks nobody anything.
"""
