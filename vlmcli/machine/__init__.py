"""What this machine can do: what fits into its memory, how long a model takes on it, which suits it best.

Knows headers and devices. Loads no weights: what it measures, it measures on files of zeros.
"""
