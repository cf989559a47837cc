"""The engine in a process of its own, which may die: `runner.Worker` starts another and goes on.

    wire     what goes from one process to the other: messages, and pixels through shared memory
    child    the engine's end
    runner   the end that is asked: a `values.Runner`

Nothing here imports the engine before the child runs.
"""
