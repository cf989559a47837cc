"""What this machine can do: what fits into its memory, how long a model takes on it, which suits it best.

    fit          how a model is put here: context, threads, GPU layers; what it takes
    cache        what a model keeps of its tokens, in bytes
    cost         what a question costs, in arithmetic and in bytes read
    tiling       how a picture is scaled and cut, and how many rows it becomes
    budget       how many image tokens a picture takes at most, as the user has said
    speed        how fast this machine is, measured
    recommend    the catalogue's models, the best for this machine first
    hollow_gguf  files of a model's shape without its weights, to measure with

Knows headers and devices. Loads no weights: what it measures, it measures on files of zeros. Does not know where models
come from, nor the engine: whoever asks it says which devices there are, and asks the model that is measured.
"""
