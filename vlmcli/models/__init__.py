"""A name becomes two verified files that belong together: a language model and its projector.

    gguf             a file's header: metadata and tensor infos
    fingerprint      what tells one file of weights from another
    known            the architectures and projector types that the engine knows
    families         facts about families of projectors, and which language models they go with
    encoders         facts about encoders: what their tensors must be
    architectures    facts about language models: what their graphs assert
    patterns         a header's keys and tensors against such facts
    check_model      whether a language model's header is safe to load
    check_attention  whether its heads, their rotation and what it looks up go together
    check_projector  whether a projector's is: what all types share
    check_encoder    what each type needs
    check_convolutions  what encoders need that are convolutions from end to end
    pairing          both, and whether the two belong together
    shapes           the headers that published models' files would have
    dimensions       what their dimensions are
    known_shapes     those of each published model
    word_tensors     the tensors of language models
    eye_tensors      the tensors of vision encoders and projectors
    catalogue        models that are known by name (catalogue.toml)
    check_catalogue  whether that is true of the Hub today
    chat_templates   templates for files that carry none
    repository       a listing, and the pair that is chosen from it
    hub              asks the Hub: listings, files
    hub_client       one question to it and the answer, within bounds of time, size, redirects and addresses
    hub_json         JSON from the network becomes values, or an error
    hub_cache        the Hub's cache on this machine: its layout, and nothing else knows it
    download         one file comes into the cache
    pull             a model comes: asked for, chosen, downloaded, checked
    beside           which files of a folder belong together, whatever else is in it
    store            a name becomes files that are here; lists, verifies and removes them
    disk             folders that may not be there yet, and their room

Loads no weights. Knows no pictures, no questions and no terminal.
"""
