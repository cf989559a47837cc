"""HTTP: models behind the protocols that other programs speak. Its own page is one of these programs.

    app             the application: all paths
    paths           what the handlers of all protocols have in common
    paths_openai    OpenAI's paths
    paths_anthropic Anthropic's paths
    paths_ollama    Ollama's paths
    guard           who may speak to the server, and how much
    body            the fields of a request's body, checked as they are taken
    wrong           what a client is told when something is wrong
    asked           what every protocol's request becomes
    chat            OpenAI's chat completions
    responses       OpenAI's responses
    decisions       OpenAI's decisions
    systemone       decisions in the System One format
    anthropic       Anthropic's messages
    ollama          Ollama's bodies and answers
    listed          models as Ollama's clients are told of them
    openapi         all paths as a document
    detect          boxes of what is looked for, a path of its own
    page            the page at /, whose files are in page/
    seen            the pictures of a body
    service         a request's way through the queue, its pictures, and a model
    pool            models, loaded when somebody asks for them
    warm            the same models for this user's own commands
    sending         answers and streams on their way to a client
    figures         what is counted
    connection      how long a connection may take, and how many there may be
    running         the server as a process: its address, its signals, its end

It needs `pip install 'vlmcli[serve]'`. Importing it needs nothing.
"""
