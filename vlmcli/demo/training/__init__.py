"""What makes the demo model: questions about drawn scenes, a small LLaVA in PyTorch, its training and its measure.

What is asked, and what is right:

    wordings      how each kind of question is worded: a table
    patterns      patterns that give many more wordings, for training only: a table
    phrasing      how a question is put: the choice of a wording, and what people do to it
    english       articles, plurals, lists
    facts         what is true of a scene
    questions     questions about one picture, and their answers
    two_pictures  questions about two
    first         what people type first about one or two, and the answers
    first_kept    wordings of that which only measure: a table
    first_asked   wordings and patterns of that for training: a table
    unanswerable  questions that have no answer in the model's world
    other_worlds  words for them: a table

The model and its training:

    patches       a picture as the encoder gets it, and labels of what each patch shows
    tokenizer     the vocabulary
    rows          conversations about pictures as rows of tokens
    batches       the rows and the pictures of a step of training
    model         the LLaVA in PyTorch
    losses        what it is taught by
    muon          an optimizer
    train         the training: a command
    export        the two GGUF files, written and read: a command
    calibrate     how ready the model is to say "I don't know.": a command

Its measure:

    cases         the questions it is measured with, and their pictures
    judging       whether an answer is right
    tables        the tables of the measure
    confusion     what is taken for what, as a picture
    accuracy      the measure, through the engine: a command
    compare       whether llama.cpp and PyTorch answer alike: a command

Nothing here is imported when `vlm` runs.
"""
