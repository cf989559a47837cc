"""What people type first, kept for measuring: no training has seen any of these wordings. Data only.

They are half, drawn by lot, of the wordings that were collected before a model was trained on the other half, from
what children, developers trying a command line and people who learned English late would type, and from the prompts
of public data sets and documentation (LLaVA's instructions, VQA, CLEVR, the quick starts of other programs). They are
written as typed. Wordings that the training before could have asked had been taken out first.

In braces: {c} a colour; {s} a shape; {n} first, second; {d} 1, 2. The kinds are those of `first`.
"""

KEPT: dict[str, tuple[str, ...]] = {
    "what": (
        "what is on the picture", "What do you think this is?", "what do you think it is",
        "do you know what this is?", "please tell me what you see in the picture", "say what you see",
        "what is the subject of this image?", "What is pictured?", "what did I draw?", "guess what this is",
        "guess what i drew", "what have I drawn?", "what is inside?", "what's going on here",
        "What is happening in this image?", "what is this thing", "what's that thing", "what we have here?",
        "which things you can see?", "recognize this", "recognise the object", "classify this image",
        "what is it a picture of", "What's this an image of?", "this is what?", "I see something, what is it?",
        "test: what is this",
    ),
    "describe": (
        "describe this", "describe the image concisely", "Describe the image in a single sentence.",
        "how would you describe this picture to a blind person", "can you describe what you see?",
        "Present a compact description of the photo", "summarize this image", "summary", "caption it", "caption this",
        "generate a caption", "Generate a caption for this image", "alt text", "put this picture into words",
        "image description please", "what would you say about this picture",
    ),
    "color": (
        "which color do you see?", "what color do you see?", "what colour do you see here",
        "what colour is the thing", "which colour has the object", "what is the color of the object",
        "can you tell the color?", "can you tell me what colour it is", "in what colour is it", "which is the color",
    ),
    "shape": (
        "what geometric shape is this", "what geometric figure is it?", "name this shape", "tell me the shape",
        "tell me what shape it is", "tell me which shape you see", "can you name this shape?", "identify the shape",
        "what do you call this shape", "the shape is what?",
    ),
    "is color": (
        "is it {c} in color?", "is the color {c}?", "it is {c}, right?", "it's {c} isn't it", "it is {c}?",
        "would you say it's {c}?", "do you think it is {c}", "is there anything {c}?", "do you see something {c}?",
        "is there {c} in the picture",
    ),
    "is shape": (
        "is it a {s}?", "is the shape a {s}?", "is the thing a {s}", "is it like a {s}", "does it look like a {s}",
        "it is a {s}?", "would you say this is a {s}", "do you think it's a {s}?", "am i right that it is a {s}",
        "could it be a {s}?", "a {s}?", "is it a {c} {s}?", "is that a {c} {s}?", "a {c} {s}, right?",
        "is this a picture of a {s}",
    ),
    "round": (
        "is this round?", "is it a round thing", "is it round or not", "it is round?", "it's round, right?",
        "is it something round", "is there anything round?", "does it look round", "is it circular?",
        "is this circular", "is the shape circular",
    ),
    "anything": (
        "Is there anything here?", "is there something here?", "is there something in the picture",
        "is there anything in the picture?", "is anything there", "is something drawn",
        "do you see anything in this image", "can you see something here", "can u see anything",
        "anything in the picture", "does it show anything", "is there any shape", "do you see an object",
    ),
    "empty": (
        "is it empty?", "is this image blank?", "is it blank", "is it just a blank picture", "is there nothing in it",
        "nothing there?",
    ),
    "count": (
        "how many", "how many shapes is there", "number of objects", "number of shapes?", "count them",
        "count objects", "how many figures are in the drawing",
    ),
    "where": (
        "where is the object?", "where is the object in the image", "where is the thing", "in which corner is it",
        "on which side is it", "what position is it in", "where is it placed",
    ),
    "exist": (
        "is there any {s} in the picture", "is there a {s} on the picture?", "do you see any {s}",
        "can u see the {s}", "does it have a {s}",
    ),
    "background": (
        "background color",
    ),
    "has text": (
        "is there any writing on it", "does it have text", "does it say anything?", "does it have any words on it",
        "is anything written on it",
    ),
    "differ": (
        "what is the difference between these", "what are the differences?",
        "What are the differences between these two images?", "what are the differences between them",
        "how does the second one differ", "in what do they differ", "in which way are they different",
        "where is the difference?", "where do they differ", "find the differences",
        "find differences between these images", "find what is different", "show me the difference", "compare",
        "compare these", "Compare these two images.", "difference?", "differences", "can you find the difference",
    ),
    "same": (
        "are these the same?", "are these two the same", "are both the same", "are the pictures the same or not",
        "is it the same picture?", "same picture?", "are they identical?", "are the two pictures identical",
        "are these two images identical", "do both look the same", "do the images match", "do they match?",
        "do these match", "is the second one the same as the first?",
    ),
    "different": (
        "are they different?", "are these pictures different?", "is there any difference between them?",
        "is there any difference between the two pictures", "did anything change?", "did the picture change",
        "has something changed", "any difference?", "any differences", "any changes?", "do these pictures differ",
        "do you see any difference", "do you see any differences between these?", "can you see a difference",
    ),
    "which": (
        "which one has the {s}?", "which picture has the {s}", "which image contains the {s}?",
        "where is the {c} {s}, first or second?", "where is the {s}, in the first or the second picture?",
        "in which picture is the {s}", "on which picture is the {s}", "who has the {s}",
        "tell me which one has the {s}",
    ),
    "nth": (
        "what is on the {n} picture", "what's in image {d}?", "what is image {d}?", "what does image {d} show?",
        "describe the {n} image", "describe the {n} one", "describe image {d}", "tell me about the {n} one",
        "the {n} one, what is it", "what is the {n} one",
    ),
    "both": (
        "what are these two", "what are these pictures of", "what is in these pictures?",
        "what is in these two pictures", "what is on these pictures?", "what is on the two pictures",
        "what's in both", "what is in both pictures", "what does each one show", "what do they show",
        "what do the pictures show", "what do both show", "describe both", "describe both pictures",
        "describe the pictures", "describe them", "caption each image", "list what's in each picture",
        "what can you see in the two images", "what can you see in each", "what objects are in the two pictures",
    ),
}  # fmt: skip
"""By kind of question."""

KEPT_OUTSIDE = (
    "what do you think about politics", "what do you think of me?", "what do you think he is saying",
    "what do you think happens next?", "is it heavy?", "is it tasty?", "is it for sale", "is it a boy or a girl",
    "is it a person?", "is that a tree", "is that my house?", "is it warm outside", "is this yours?", "is she tall?",
    "is anybody home", "is anyone smiling?", "do you see people", "what song is it", "what is love",
    "what's the time?", "what's your favourite film", "what's for dinner?", "what size is the shoe",
    "what does the man do?", "what does it weigh", "what does it smell like?", "what do they want?",
    "what are they wearing?", "what are you doing", "what are the people eating", "when is it open", "who is it?",
    "why is she crying", "how much is it?", "how much does it weigh", "how many people?",
    "how many hours are there in a day", "how do I get there", "how does it work", "tell me about yourself",
    "tell me the time", "tell me what to do", "describe the person", "describe the taste", "count the people",
    "compare apples and oranges", "find my glasses", "are these shoes new", "do you know him", "did he win?",
    "did they eat", "which one is older?", "which one is cheaper", "which one do you like?",
    "which one tastes better", "which person is taller", "which team won",
)  # fmt: skip
"""First wordings that are about another world: right is "I don't know."."""
