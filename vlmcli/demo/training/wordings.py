"""How each kind of question is worded, what is asked that has no answer, and what else is said. Data only.

Of each list of wordings the first of every two is trained on and the second is kept for measuring: the left column and
the right one, where two fit on a line. In braces:
{i} image, picture, photo; {a} "a red circle"; {o} "red circle"; {u} the other thing; {p} "red shapes"; {c} a colour;
{s} a shape; {n} first, second; {g} a generic word for a shape.
"""

WHAT = (
    "What is this?", "What's in the {i}?",
    "What's this?", "What is it that you see?",
    "What is in this {i}?", "What does the {i} contain?",
    "What do you see?", "What is this {i} of?",
    "What does this {i} show?", "What can be seen in the {i}?",
    "What can you see in this {i}?", "What things are in this {i}?",
    "What is shown in the {i}?", "So, what is this?",
    "What objects are in this {i}?", "Which objects do you see?",
    "What shapes are in the {i}?", "Which shapes are shown?",
    "Name the objects.", "List the objects in the {i}.",
    "What is this a {i} of?", "What shapes do you see here?",
    "Which shapes are there?", "What is visible here?",
    "List everything in the {i}.", "Name the shapes.",
    "What is there?", "Tell me what this is.",
    "What can be seen here?", "What is in it?",
    "List the shapes.", "What am I looking at?",
    "Identify the objects in this {i}.", "What is here?",
)  # fmt: skip

DESCRIBE = (
    "Describe this {i}.", "Describe the {i} briefly.",
    "Describe the {i}.", "Please describe this {i} for me.",
    "Caption this {i}.", "Give a caption for the {i}.",
    "Can you describe the {i}?", "Could you describe this {i}?",
    "Write a caption for this {i}.", "Write a short caption.",
    "Describe what you see.", "Describe it.",
    "Tell me about this {i}.", "What would be a caption for this {i}?",
    "Describe this {i} in one sentence.", "Caption the {i} in one sentence.",
    "Give me a short description.", "Give a description of this {i}.",
    "Please write a caption.", "Describe the scene.",
    "Write one sentence about this {i}.", "Say what the {i} shows in a sentence.",
    "Please caption this.", "Give a brief description of the {i}.",
    "Describe this in a few words.", "Caption, please.",
    "Write a description of the scene.", "Tell me about the scene.",
    "Describe the content of the {i}.", "Write a sentence that describes the {i}.",
)  # fmt: skip

DETAIL = (
    "Describe this {i} in detail.", "Describe the {i} in detail, please.",
    "Give a detailed description of the {i}.", "Write a detailed description.",
    "Describe everything and where it is.", "Say what is where in the {i}.",
    "What is where in this {i}?", "Where is everything?",
    "Describe the {i} with all details.", "Describe all details of this {i}.",
    "Write a long description of this {i}.", "Give a long description.",
    "Tell me in detail what you see.", "Describe in detail what is shown.",
    "Describe the scene and its positions.", "Describe the shapes and their positions.",
)  # fmt: skip

COUNT = (
    "How many shapes are there?", "How many shapes do you see?",
    "How many shapes?", "How many shapes are in this {i}?",
    "How many objects are there?", "How many objects are shown?",
    "How many objects are in this {i}?", "How many objects can you count?",
    "Count the shapes.", "Count all shapes.",
    "How many things do you see?", "How many things are there?",
    "What is the number of shapes?", "What is the number of objects?",
    "Count the objects in the {i}.", "Please count the objects.",
    "How many are there in all?", "How many are there?",
    "Tell me how many shapes there are.", "Tell me the number of shapes.",
    "How many shapes can you see in the {i}?", "How many shapes are there in total?",
    "How many different objects are in the {i}?", "How many shapes does the {i} have?",
)  # fmt: skip

COUNT_OF = (
    "How many {p} are there?", "How many {p} can you see?",
    "How many {p}?", "How many {p} are visible?",
    "How many {p} are in the {i}?", "How many {p} are shown in this {i}?",
    "How many {p} do you see?", "How many {p} do you count?",
    "Count the {p}.", "Count all {p}.",
    "What is the number of {p}?", "Tell me the number of {p}.",
    "How many {p} does the {i} show?", "How many {p} does this {i} have?",
    "Please count the {p} in the {i}.", "Give the number of {p}.",
)  # fmt: skip

COLOR = (
    "What color is the {s}?", "What is the {s}'s color?",
    "What is the color of the {s}?", "Tell me the color of the {s}.",
    "Which color is the {s}?", "Which color has the {s}?",
    "What color does the {s} have?", "The {s} is what color?",
    "Name the color of the {s}.", "Say the color of the {s}.",
    "In which color is the {s}?", "In what color is the {s} drawn?",
    "Which color does the {s} have?", "What color is this {s}?",
    "Can you tell me the color of the {s}?", "What is the {s} colored?",
)  # fmt: skip

SHAPE = (
    "What shape is {c}?", "What kind of shape is {c}?",
    "Which shape is {c}?", "Which of the shapes is {c}?",
    "What is the {c} shape?", "What is the {c} object?",
    "What shape is the {c} object?", "What shape does the {c} object have?",
    "Name the {c} shape.", "Name the {c} object.",
    "What is the {c} thing?", "Which shape is the {c} thing?",
    "Which object is {c}?", "Which one is {c}?",
    "What is {c} in this {i}?", "What is {c}?",
    "Tell me what the {c} shape is.", "Identify the {c} shape.",
)  # fmt: skip

EXIST = (
    "Is there {a}?", "Is there {a} here?",
    "Is there {a} in the {i}?", "Is there {a} anywhere in this {i}?",
    "Do you see {a}?", "Do you see {a} in the {i}?",
    "Does this {i} contain {a}?", "Does the {i} have {a}?",
    "Can you see {a}?", "Can you find {a}?",
    "Does the {i} show {a}?", "Does this show {a}?",
    "Is {a} in the {i}?", "Is {a} visible?",
    "Are there any {p}?", "Are there {p} in the {i}?",
    "Tell me if there is {a}.", "Is {a} shown in this {i}?",
    "Is {a} present?", "Is {a} there?",
)  # fmt: skip

LEFT = (
    "What is on the left?", "What do you see on the left?",
    "What is on the left side?", "What is at the left?",
    "What is the leftmost shape?", "What is the leftmost object?",
    "Which shape is on the left?", "Which object is on the left?",
    "What is furthest to the left?", "What is to the left?",
    "Which {g} is leftmost?", "Which {g} is furthest left?",
    "Name the leftmost {g}.", "Name the {g} on the left.",
    "What's on the left side of the {i}?", "What is on the left of the {i}?",
)  # fmt: skip

MIDDLE = (
    "What is in the middle?", "What do you see in the middle?",
    "What is in the center?", "What is at the center?",
    "Which {g} is in the middle?", "Which {g} is in the center?",
    "What is in the middle of the {i}?", "What is in the center of the {i}?",
    "Is there something in the middle, and what?", "What's in the middle?",
    "Name the {g} in the center.", "Name the {g} in the middle.",
    "What is at the center of this {i}?", "What shape is in the center?",
    "What shape is in the middle?", "What is drawn in the middle?",
)  # fmt: skip

TOP = (
    "What is at the top?", "What do you see at the top?",
    "What is on top?", "What is on the top?",
    "Which shape is at the top?", "Which object is at the top?",
    "What is the topmost shape?", "What is the topmost object?",
    "What is the highest shape?", "Which {g} is highest?",
    "Name the {g} at the top.", "Name the topmost {g}.",
    "What is at the top of the {i}?", "What's on top in this {i}?",
    "Which {g} is topmost?", "Which {g} is on top?",
)  # fmt: skip

BOTTOM = (
    "What is at the bottom?", "What do you see at the bottom?",
    "What is down at the bottom?", "What is on the bottom?",
    "Which shape is at the bottom?", "Which object is at the bottom?",
    "What is the lowest shape?", "What is the lowest object?",
    "What is the bottommost shape?", "Which {g} is lowest?",
    "Name the {g} at the bottom.", "Name the lowest {g}.",
    "What is at the bottom of the {i}?", "What's at the bottom in this {i}?",
    "Which {g} is bottommost?", "Which {g} is furthest down?",
)  # fmt: skip

WHERE = (
    "Where is the {o}?", "Where is the {o} in this {i}?",
    "Where in the {i} is the {o}?", "Where can you see the {o}?",
    "Where is the {o} located?", "Where do you see the {o}?",
    "In which part of the {i} is the {o}?", "In what part of the {i} is the {o}?",
    "What is the position of the {o}?", "What is the location of the {o}?",
    "Tell me where the {o} is.", "Say where the {o} is.",
    "Where can I find the {o}?", "Where should I look for the {o}?",
    "On which side is the {o}?", "Where does the {o} lie?",
)  # fmt: skip

RELATION = {
    "left": (
        "Is the {o} to the left of the {u}?", "Is the {o} on the left of the {u}?",
        "Is the {o} left of the {u}?", "Does the {o} lie left of the {u}?",
        "Is the {o} further left than the {u}?", "Tell me if the {o} is left of the {u}.",
        "Is the {o} on the left side of the {u}?", "Can you say if the {o} is to the left of the {u}?",
    ),
    "right": (
        "Is the {o} to the right of the {u}?", "Is the {o} on the right of the {u}?",
        "Is the {o} right of the {u}?", "Does the {o} lie right of the {u}?",
        "Is the {o} further right than the {u}?", "Tell me if the {o} is right of the {u}.",
        "Is the {o} on the right side of the {u}?", "Can you say if the {o} is to the right of the {u}?",
    ),
    "above": (
        "Is the {o} above the {u}?", "Does the {o} lie above the {u}?",
        "Is the {o} higher than the {u}?", "Tell me if the {o} is above the {u}.",
        "Is the {o} over the {u}?", "Can you say if the {o} is above the {u}?",
        "Is the {o} further up than the {u}?", "Is the {o} placed above the {u}?",
    ),
    "below": (
        "Is the {o} below the {u}?", "Does the {o} lie below the {u}?",
        "Is the {o} lower than the {u}?", "Tell me if the {o} is below the {u}.",
        "Is the {o} under the {u}?", "Can you say if the {o} is below the {u}?",
        "Is the {o} further down than the {u}?", "Is the {o} placed below the {u}?",
    ),
}  # fmt: skip

BIGGEST = (
    "What is the biggest shape?", "What is the biggest object?",
    "Which shape is the largest?", "Which object is the largest?",
    "What is the largest shape?", "What is the largest thing?",
    "Which shape is biggest?", "Which one is biggest?",
    "Which {g} is bigger than all others?", "Which {g} is the biggest one?",
    "Name the biggest {g}.", "Name the largest {g}.",
    "What's the largest object in the {i}?", "What's the biggest thing in the {i}?",
    "Which is the biggest?", "Which is the largest of all?",
)  # fmt: skip

BACKGROUND = (
    "What color is the background?", "What color has the background?",
    "What is the background color?", "What is the color of the background?",
    "Which color is the background?", "Which color does the background have?",
    "Describe the background.", "What is the background like?",
    "What is the background?", "What's the background?",
    "Tell me the background color.", "Name the background color.",
    "What background does the {i} have?", "What color is behind the shapes?",
    "In which color is the background?", "The background is what color?",
)  # fmt: skip

READ = (
    "Read the text.", "Read it.",
    "Read the text in this {i}.", "Read what is in the {i}.",
    "What text is in the {i}?", "Which text is shown?",
    "Transcribe the text.", "Transcribe this {i}.",
    "OCR", "Do OCR.",
    "Extract the text from this {i}.", "Give me the text of this {i}.",
    "Write down the text.", "Copy the text.",
    "Read the text and give only the text.", "Output only the text.",
    "Please read the text.", "Read this, please.",
    "Transcribe all text in the {i}.", "Extract all text.",
    "Give only the text.", "Print the text in the {i}.",
)  # fmt: skip

SAYS = (
    "What does the text say?", "What does the writing say?",
    "What does it say?", "What does this say?",
    "What does the {i} say?", "What does the {i} read?",
    "What is written here?", "What is written there?",
    "What is written in the {i}?", "What has been written?",
    "What is the text in this {i}?", "What is the text?",
    "What does it say in the {i}?", "Tell me what it says.",
    "Can you read the text?", "Can you read what it says?",
    "Which word or number is written?", "Which word or number do you see?",
    "Tell me what is written.", "Say what is written in the {i}.",
)  # fmt: skip

HAS_TEXT = (
    "Is there any text?", "Is there text here?",
    "Is there text in this {i}?", "Is any text visible?",
    "Does this {i} contain text?", "Does the {i} have text?",
    "Do you see any text?", "Can you see any text?",
    "Is there some text?", "Is there anything to read?",
    "Is something written in the {i}?", "Is anything written here?",
    "Is there any writing?", "Do you see writing in the {i}?",
    "Does the {i} show text?", "Does it show any text?",
    "Are there letters or numbers?", "Are there any letters?",
)  # fmt: skip

TEXT_COLOR = (
    "What color is the text?", "What is the color of the writing?",
    "What is the color of the text?", "Tell me the color of the text.",
    "Which color is the text?", "Which color does the text have?",
    "In which color is it written?", "In what color is the text?",
    "What color does the text have?", "What color is the writing?",
    "Name the color of the text.", "What color are the letters?",
    "What is the text's color?", "Say the color of the text.",
    "Which color is the writing?", "What color has the text?",
)  # fmt: skip

JSON = (
    "List the shapes as JSON.", "List all shapes in JSON.",
    "Answer in JSON: what shapes are in the {i}?", "Answer in JSON: what is in the {i}?",
    "Return the shapes as JSON.", "Return everything as JSON.",
    "Give me JSON for this {i}.", "Give the result as JSON.",
    "Describe this {i} as JSON.", "Describe the {i} in JSON.",
    "Output JSON with the shapes and the text.", "Output JSON.",
    "Write the shapes and the text as JSON.", "Write JSON that describes the {i}.",
    "JSON", "As JSON, please.",
    "Extract the shapes, colors and boxes as JSON.", "Extract shapes and text as JSON.",
)  # fmt: skip

BOX = (
    "Give the box of the {o}.", "Give me the box around the {o}.",
    "What is the bounding box of the {o}?", "What is the box of the {o}?",
    "Give the bounding box of the {o}.", "Return the bounding box of the {o}.",
    "Locate the {o} with a box.", "Locate the {o} by its box.",
    "Where is the {o}? Answer with a box.", "Where is the {o}? Give a box.",
    "Find the {o} and give its box.", "Find the box of the {o}.",
    "Box of the {o}?", "Bounding box of the {o}?",
    "Detect the {o}.", "Detect the {o} and give a box.",
    "Give the coordinates of the {o}.", "What are the coordinates of the {o}?",
)  # fmt: skip

WHICH = (
    "Which {i} has {a}?", "Which {i} has {a} in it?",
    "Which {i} contains {a}?", "Which one contains {a}?",
    "Which {i} shows {a}?", "Which of them shows {a}?",
    "Which of the {i}s has {a}?", "Which of the two {i}s has {a}?",
    "Which one has {a}?", "In which one is {a}?",
    "In which {i} is there {a}?", "In which {i} do you see {a}?",
    "Which of the two shows {a}?", "Which of the two contains {a}?",
    "Tell me which {i} has {a}.", "In which of the {i}s is {a}?",
)  # fmt: skip

NTH = (
    "What is in the {n} {i}?", "What do you see in the {n} {i}?",
    "What does the {n} {i} show?", "What is shown in the {n} {i}?",
    "Which shapes are in the {n} {i}?", "What can be seen in the {n} {i}?",
    "What is in the {n} one?", "What does the {n} one show?",
    "Name the objects in the {n} {i}.", "List what is in the {n} {i}.",
    "What shapes does the {n} {i} show?", "What objects are in the {n} {i}?",
    "What is the {n} {i}?", "What is the {n} {i} of?",
    "Tell me what is in the {n} {i}.", "Look at the {n} {i}. What is it?",
)  # fmt: skip

DIFFER = (
    "What differs?", "What has changed?",
    "What is different?", "What changed?",
    "What is the difference?", "What differs between the two?",
    "What is different in the second {i}?", "What changed in the second {i}?",
    "What is the difference between the {i}s?", "What is the difference between these two {i}s?",
    "How do the {i}s differ?", "How do the two differ?",
    "Compare the {i}s.", "Compare the two {i}s.",
    "Find the difference.", "Name the difference.",
)  # fmt: skip

IT_COLOR = (
    "What color is it?", "And what color is it?",
    "Which color is it?", "And its color?",
    "What is its color?", "Its color?",
    "What color does it have?", "Which color does it have?",
    "And what is its color?", "In which color is it?",
    "Tell me its color.", "Say its color.",
    "And the color?", "So what color is it?",
    "Which color has it?", "What color has it?",
)  # fmt: skip

IT_WHERE = (
    "Where is it?", "And where is it?",
    "Where in the {i} is it?", "Where can you see it?",
    "Where is it located?", "Where does it lie?",
    "What is its position?", "Tell me where it is.",
    "And where in the {i} is it?", "Where exactly is it?",
    "Tell me its position.", "Say where it is.",
    "In which part of the {i} is it?", "In what part is it?",
    "Where do you see it?", "So where is it?",
)  # fmt: skip

IT_BOX = (
    "Give its box.", "And its box?",
    "What is its bounding box?", "What is its box?",
    "Give its bounding box.", "Return its bounding box.",
    "Give the box of it.", "And the box?",
    "Locate it with a box.", "Give a box for it.",
    "What are its coordinates?", "Give its coordinates.",
    "Box?", "Bounding box?",
    "Where is it? Answer with a box.", "Give me its box.",
)  # fmt: skip

# Nouns of things outside the world, for "Is there a …?", "What color is the …?", "How many …?".
NOUNS = (
    "dog", "cat", "car", "tree", "house", "person", "man", "woman", "bird", "table", "chair", "bottle", "phone", "sky",
    "cloud", "child", "boat", "train", "book", "flower", "horse", "road", "bridge", "mountain", "river", "beach", "hat",
    "shirt", "shoe", "door", "window", "lamp", "clock", "cup", "plate", "apple", "banana", "pizza", "cake", "bus",
    "bike", "plane", "ship", "truck", "cow", "sheep", "fish", "elephant", "lion", "tiger", "bear", "rabbit", "mouse",
    "keyboard", "screen", "laptop", "camera", "guitar", "ball", "kite", "umbrella", "bag", "bed", "sofa", "pillow",
    "mirror", "carpet", "wall", "roof", "garden", "grass", "leaf", "snow", "rain", "fire", "smoke", "stone", "sand",
    "water", "glass", "knife", "fork", "spoon", "bowl", "bread", "cheese", "egg", "face", "hand", "eye", "nose",
    "mouth", "hair", "baby", "doctor", "police officer", "soldier", "king", "queen", "castle", "church", "tower",
    "street", "sign", "traffic light", "hexagon", "pentagon", "arrow", "heart", "moon", "sun", "planet", "ring",
    "spiral", "dragon", "robot", "teapot", "violin", "helicopter", "bicycle", "motorcycle", "tractor", "fence", "gate",
    "ladder", "basket", "candle", "cactus", "mushroom", "penguin", "giraffe", "monkey", "spider",
)  # fmt: skip

UNSEEN_NOUNS = (
    "zebra", "kangaroo", "fox", "wolf", "goat", "duck", "piano", "drum", "trumpet", "rocket", "submarine", "scooter",
    "lorry", "desk", "shelf", "curtain", "kettle", "oven", "fridge", "toaster", "carrot", "tomato", "orange juice",
    "burger", "sandwich", "scarf", "jacket", "glove", "dress", "lake", "waterfall", "volcano", "island", "tent", "owl",
    "turtle", "snake", "crown", "sword", "map",
)  # fmt: skip

ABOUT_NOUN = (
    "Is there {a}?", "Can you find {a} in the {i}?",
    "Do you see {a}?", "Does the {i} show {a}?",
    "What color is the {o}?", "What is the {o}'s color?",
    "How many {p} are there?", "How many {p} can you count?",
    "Where is the {o}?", "Where do you see the {o}?",
    "What is the {o} doing?", "What is next to the {o}?",
    "How old is the {o}?", "How big is the {o}?",
    "Is the {o} happy?", "Is the {o} old?",
    "What breed is the {o}?", "What is the name of the {o}?",
    "Who owns the {o}?", "Whose {o} is this?",
    "What is behind the {o}?", "What is in front of the {o}?",
    "Give the box of the {o}.", "Find the {o}.",
    "Is the {o} to the left of the {u}?", "Is the {o} above the {u}?",
    "Is this {a}?", "Could this be {a}?",
)  # fmt: skip

OUTSIDE = (
    "What is the capital of France?", "Write a poem.", "Tell me a joke.", "What is 2 plus 2?", "Explain gravity.",
    "What time is it?", "Who painted this?", "Where was this taken?", "When was this taken?", "Who took this {i}?",
    "What is the weather like?", "What camera was used?", "What year is it?", "How old is this person?",
    "What is the person doing?", "What brand is this?", "How much does it cost?", "What language is this?",
    "Translate this to German.", "What is the mood of the {i}?", "Is this person happy?", "What emotion does it show?",
    "What is the man wearing?", "What is the woman holding?", "Who is this?", "Who is in the {i}?",
    "What animal is this?", "What breed is it?", "What kind of car is this?", "What city is this?",
    "Which country is this?", "Is it safe to eat?", "What is the recipe?", "What disease is this?",
    "Is this a good {i}?", "How do I fix this?", "Write code for this.", "What song is this?",
    "What movie is this from?", "Who won the game?", "What is the score?", "What is the temperature?",
    "Is it day or night?", "Is it indoors or outdoors?", "What season is it?", "What is the phone number?",
    "What is the total price?", "What date is it?", "Who is the author?", "What is the title of the book?",
    "Why is the sky blue?", "How far is the moon?", "What is the meaning of life?", "Solve this equation.",
    "What is the square root of nine?", "Can you book a flight?", "Send an email.", "Play some music.",
    "What is your favorite food?", "Do you like me?", "Is this art?", "What style is this painting?",
    "What material is it made of?", "How heavy is it?", "How tall is the building?", "What plant is this?",
    "Which bird is this?", "What dish is this?", "What is on the menu?", "What is the license plate?",
    "Is the light red or green?", "Are the people smiling?", "How many people are there?",
    "How many fingers do you see?", "What does the sign mean?", "What is the relation between them?",
    "What happened before?", "What will happen next?", "Why did they do this?", "Is this real?", "Is this {i} fake?",
    "What is the resolution?", "What lens was used?", "Give me a summary of the news.", "Summarize the document.",
    "What is the main idea?", "Who signed this?", "What is the invoice number?", "What is the diagnosis?",
    "Is there a fracture?", "What does the chart show?", "What is the trend?",
    "What is the highest value in the chart?", "What is the story behind it?", "Make it brighter.", "Draw a cat.",
    "Remove the background.", "Rotate the {i}.", "Name three presidents.",
)  # fmt: skip
"""Questions it has no answer to, all trained on; the measure asks `UNSEEN_OUTSIDE` instead."""

UNSEEN_FIRST = (
    "What is the capital of Spain?", "Write a story.", "Tell me a riddle.", "What is 7 times 8?",
    "Explain photosynthesis.", "Who drew this?", "In which city was this taken?", "On what day was this taken?",
    "Who is the photographer?", "Is it going to rain?", "Which phone was used?", "In what century was it made?",
    "How old is the bride?", "What are the people doing?", "Which company made this?", "What does it cost?",
    "Translate the sentence into French.", "What feeling does it give you?", "Is the man sad?",
    "What is the girl wearing?", "What is the boy holding?", "Who are these people?", "What kind of animal is that?",
    "What model of car is that?", "Which town is that?", "Can I eat this?", "How do I cook it?", "What illness is it?",
    "How can I repair it?", "Write a Python program.", "What film is this from?", "Who is the winner?",
    "How cold is it?", "Is it summer or winter?", "What is the address?", "What is the price of the item?",
    "Who wrote the book?", "How deep is the ocean?", "Calculate the integral.", "Order a pizza.", "Do you love me?",
    "Which artist is this?", "What is it made of?", "How tall is the man?", "What flower is this?", "Are they friends?",
    "What happens next?", "What is the patient's name?", "Summarize the article.", "Name two prime ministers.",
)  # fmt: skip

UNSEEN_LATER = (
    "Which airport is this?", "What is the bus line?", "How many calories does this have?", "Who designed the dress?",
    "What instrument is she playing?", "Is the shop still open?", "When does the train leave?", "Which team is playing?",
    "What medicine should I take?", "Is the wound healing?", "How loud is it in the room?", "What perfume is that?",
    "Are they brothers?", "What did he say?", "Why is the baby crying?", "Where do they live?", "Which chapter is this?",
    "What is the moral of the tale?", "Give me the lyrics.", "Explain the theory of relativity.", "What is 15 percent of 80?",
    "Convert ten miles to kilometers.", "Which currency is that?", "What is the exchange rate?", "Who is the mayor?",
    "How do I tie a tie?", "Turn on the lights.", "Set a timer.", "What is your birthday?", "Can you swim?",
    "Which virus is that?", "What mineral is this?", "How ripe is it?", "Is the milk sour?", "What is the wifi code?",
    "When was the bridge built?", "What is the speed of the car?", "Who scored the goal?", "Which opera is this?",
    "What is the dosage?", "Is the contract valid?", "What is the due date?", "How many pages does it have?",
    "Which floor is this?", "What is the warranty?", "Is there parking nearby?", "What is the width of the table?",
    "Do they sell coffee?", "What religion is this?", "Pick a number.",
)  # fmt: skip
"""Written after those before had been measured once, and with other words."""

UNSEEN_OUTSIDE = (*UNSEEN_FIRST, *UNSEEN_LATER)
"""Never trained on."""

SMALL_TALK = (
    (("Hello", "Hi", "Hey", "Hello!", "Hi there", "Good morning"), "Hello! Show me a picture and ask about it."),
    (("Who are you?", "What are you?", "What is your name?"), "I am the demo model of vlm."),
    (("What can you do?", "Help", "How can you help me?"), "I name drawn shapes and read short words."),
    (("Thanks", "Thank you", "Thank you!", "Great, thanks."), "You are welcome!"),
    (("Bye", "Goodbye"), "Goodbye!"),
)  # fmt: skip

SYSTEMS = (
    "You are a helpful assistant.", "You are a helpful assistant that describes images.", "Answer briefly.",
    "Answer the question.", "Answer in one sentence.", "Be precise.",
)  # fmt: skip
"""System prompts it has seen."""
