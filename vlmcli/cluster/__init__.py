"""A run on a Ray cluster: names of pictures go out to its nodes, answers come back, and the journal stays here.

    messages  what goes between a command, the process that has Ray, and the nodes
    spread    a run whose pictures are read and asked about on other machines
    cluster   the command's end of the process that has Ray
    driver    that process: a Ray Dataset of names, and what the nodes make of them
    joining   whether a cluster can be joined, and the token it may want
    nodes     the machines of a cluster, and how actors share their cores and GPUs
    actor     on a node: pictures are read, and an engine is asked
    vllm      vLLM as an actor's engine, instead of llama.cpp
    model     the model's two files on a node: by path, by name, or shipped
    estimate  how long a run takes, of a sample that each actor does

Ray is imported in a process of its own: what it prints, the signals it takes and the threads it leaves are no concern
of the command, and a command that is killed leaves no cluster behind.
"""
