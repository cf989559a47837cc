"""MCP: eyes for agents. Tools that other programs' models call, over stdin and stdout.

    tools      what there is to call, as clients are told
    arguments  what a client has sent, checked as it is read
    calls      a call becomes a task, and its result becomes what the client gets
    allowed    which files may be read
    seen       a text becomes a picture, or a part of one
    model      the model: opened when the first call needs it, freed when nobody does
    wrong      errors in words that an agent can act on
    wire       lines of stdin, within bounds
    service    the protocol

Tasks make the requests and read the answers, so these equal those of the command line. Does not know where answers are
computed: what finds and opens a model is handed in.
"""
