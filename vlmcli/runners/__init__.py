"""Who answers requests: the seam between whoever asks and an engine, wherever that runs.

    worker      the engine in a child process that may die: another is started, and the request that killed it is named
    process     one such child: started, written to, listened to, ended
    child       the engine's end of it
    wire        what goes from one process to the other: messages, and pixels through shared memory
    frames      messages as bytes, and back; what is no message is refused
    last_death  what an earlier run died of

Each is a `values.Runner`. Nothing here knows tasks or the terminal, and only the child loads anything native.
"""
