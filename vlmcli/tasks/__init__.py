"""What is asked of a model, and what its answer means. Pure: no pictures are read here, and nothing is run.

    task         what all tasks have in common
    ask          questions about pictures, and the verbs' prompts
    decide       typed questions, and what scores decide
    questions    files of questions, and labels
    calibration  probabilities by what was right
    truths       tables of pictures whose truth is known
    extract      fields by a schema
    schema       JSON Schemas as users write them
    detect       boxes and points
    boxes        boxes as models write them, and as pixels
    numbers      how tokens are picked, how many at most, how large pictures are: checked
    thinking     what a model thinks before it answers, told from the answer
    templates/   questions kept in small files

Knows questions, prompts and templates. Does not know where pictures come from or where results go.
"""
