"""A name becomes two verified files that belong together: a language model and its projector.

Knows GGUF headers, families of models, the Hub and its cache. Loads no weights, and knows no pictures.
"""
