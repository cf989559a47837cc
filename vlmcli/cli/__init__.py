"""The command line: parse words, call one thing, and show what comes of it.

    app        the `vlm` command; errors become exit codes here
    help       the help pages
    version    version
    parsing    what is wrong with a command line, in our words
    parameters a command's options and arguments as the code declares them
    signals    Ctrl-C and SIGTERM while a command runs
    options    every option that several commands have
    flags      a command's options as values
    words      which words are pictures and which the question
    verbs      ask, caption, describe, ocr
    decide     match, classify, decide
    calibrate  decide --calibrate-on
    extract    extract, and the forms of ask
    detect     detect, point
    answer     what all of these have in common: find the model, see what is left to do, run
    running    the engine in this process, or in one of its own, or in one for each GPU; or servers
    servers    --server: the model that servers have, and what may be sent to them
    chat/      chat
    explain    explain
    show       show
    templates  templates
    pull       pull, and the offer to download a model that is missing
    models     ls, models, rm, verify, default
    cache      cache
    doctor     doctor

Typer is imported here only, and nothing heavy before a command needs it: `vlm --help` is immediate.
"""
