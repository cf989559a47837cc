"""Who answers requests: the seam between whoever asks and an engine, wherever that runs.

    worker      the engine in a child process that may die: another is started, and the request that killed it is named
    process     one such child: started, written to, listened to, ended
    child       the engine's end of it
    wire        what goes from one process to the other: messages, and pixels through shared memory
    frames      messages as bytes, and back; what is no message is refused
    gpus        the GPUs that a user names, and how a process sees only one of them
    pool        a worker for each of them, and one queue
    nearby      is the model in memory already?
    warm        the server in the background that has it: where it is, and a connection to it
    attached    that server in the place of a process
    awaited     a runner for an event loop
    last_death  what an earlier run died of
    remote      servers of OpenAI's API: requests go to those that have room, and are sent again where one is busy
    lanes       which of them gets the next request
    pacing      how many each gets at once
    servers     their addresses, and what can be learnt of them before anything is asked
    chosen      the model that is asked there, and what may be sent
    chat_body   a request as they get it
    chat_answer what they send becomes an answer, or an error
    likelihood  how likely choices are, by what they tell of their tokens

The worker, `Pool` and `Remote` are each a `values.Runner`. Nothing here knows what is asked, or the terminal, and only
the child loads anything native.
"""
