"""Many pictures: their order, equal ones, what was done before, and files beside them.

    course     how a command goes through its pictures; its jobs
    remaining  what is left of them to do
    memory     what earlier runs have recorded
    keywords   the words of an answer that lists some
    fields     the fields of an answer that is JSON, as properties of XMP
    sidecars   answers beside their pictures, or in them
    originals  pictures' own files, changed and else kept as they were
    ahead      pictures from elsewhere, fetched before their turn
    run        the jobs on their way through a runner
    estimate   how long that will take

Without a terminal and without options, so that every kind of driver can use it. Runners arrive as arguments.
"""
