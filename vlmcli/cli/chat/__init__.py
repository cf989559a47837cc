"""`vlm chat`: a conversation on a terminal or from a pipe.

    command  the verb and its options
    session  the loop over what is typed or piped
    slash    the commands that begin with a slash
    talk     the conversation and its runner: asking, showing, making room, changing the model

Knows lines and keys. What a turn is, and how a conversation is kept, is `vlmcli.chat`'s to know.
"""
