"""HTTP: models behind the protocols that other programs speak. Its own page is one of these programs.

    app         the paths, and what each answers with
    guard       who may speak to the server, and how much
    body        the fields of a request's body, checked as they are taken
    wrong       what a client is told when something is wrong
    asked       what every protocol's request becomes
    chat        OpenAI's chat completions
    seen        the pictures of a body
    service     a request's way through the queue, its pictures, and a model
    pool        models, loaded when somebody asks for them
    sending     answers and streams on their way to a client
    figures     what is counted
    running     the server as a process: its address, its signals, its end

It needs `pip install 'vlmcli[serve]'`. Importing it needs nothing.
"""
