"""Measurements: contestants side by side in one run, memory, and damaged pictures and models by the thousand.

Every model is made here, of random weights and real shapes, so that anybody can repeat a figure. Nothing of it is
imported when `vlm` runs.

    __main__     whole commands beside their peers, with goals: `python -m vlmcli.bench`
    goals        what is wanted, and the table of it
    turns        one round: each command once, and what it leaves for the next
    commands     commands as users start them, with their seconds and memory
    handler      a script with llama-cpp-python, one of the peers
    servers      llama-server over a folder, another
    forms        what it costs to hold an answer to a schema
    repack       whether weights are faster in the CPU's own order
    photo        seconds and memory for a photo of many megapixels
    memory       what a model takes, beside what was predicted
    serving      `vlm serve` beside llama-server, and for long
    warm         `vlm ask` with a model in memory already
    journal      a journal of millions of records: to open, to put in order, to make a table of
    cluster      what Ray costs beside the engines: actors that only sleep
    scale        what very many pictures take on several machines, on paper
    steady       whether the memory of a long run stays flat
    broken       damaged models: each an error or an answer, and no crash
    headers      damaged headers of every family, and what of them ends the process
    fuzz         damaged pictures, the same
    mutants      how a model's file is damaged
    pairs        the small pairs, and one of a real size
    pair_maker   how such a pair is written
    recipes      what pairs in the shapes of published models are made of
    published    such pairs, quantised
"""
