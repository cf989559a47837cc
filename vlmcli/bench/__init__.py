"""Measurements: contestants side by side in one run, memory, and damaged pictures and models by the thousand.

Every model is made here, of random weights and real shapes, so that anybody can repeat a figure. Nothing of it is
imported when `vlm` runs.

    __main__     seconds per question, this engine beside its peers: `python -m vlmcli.bench`
    folder       seconds per picture of a folder, beside llama-server and llama-cpp-python
    photo        seconds and memory for a photo of many megapixels
    memory       what a model takes, beside what was predicted
    steady       whether the memory of a long run stays flat
    broken       damaged models: each an error or an answer, and no crash
    headers      damaged headers of every family, and what of them ends the process
    fuzz         damaged pictures, the same
    contestant   one contestant's turn, in a process of its own
    rounds       contestants in turn, round after round
    mutants      how a model's file is damaged
    pairs        the small pairs, and one of a real size
    pair_maker   how such a pair is written
    published    pairs in the shapes of published models
"""
