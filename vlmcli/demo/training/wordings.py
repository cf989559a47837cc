"""How each kind of question is worded. Data only.

Of each list here the first of every two is trained on and the second is kept for measuring: the left column and the right
one, where two fit a line. In braces:
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

# --- More ways to ask, for training only ---
# In brackets: alternatives. What comes out may be clumsy; it is there so that words are learnt, not sentences.

_SHOWN = "[are there|do you see|can you see|can you count|do you count|are shown|are visible|are drawn|are in the {i}|are in this {i}|are present|appear|does the {i} show|does this {i} contain|are here]"
_THINGS = "[shapes|objects|things|items|figures|elements|forms]"
_THING = "[shape|object|thing|item|figure|one|form|{g}]"
_HERE = "[||| here| in the {i}| in this {i}| in it| in the scene]"
_TELL = "[Name|Identify|Tell me|Give me|Say|State|Give|Report]"
_IF = "[Tell me|Say|Check|Find out|I want to know] [if|whether]"
_TEXT = "[text|writing|words|letters|characters|lettering]"
_TO_LEFT = (
    "[left of|to the left of|on the left of|further left than|more to the left than|on the left side of|at the left of]"
)
_ABOVE = "[above|over|higher than|further up than|higher up than|on top of|closer to the top than|upward of]"
_BELOW = "[below|under|lower than|further down than|lower down than|beneath|underneath|closer to the bottom than]"


def _ends(where: str, most: str, side: str) -> tuple[str, ...]:
    """Patterns for what is furthest at a side."""
    return (
        f"[What|Which {_THING}] [is|do you see|can be seen|is shown|lies|sits|stands|is drawn] {where}[||| of the {{i}}| of this {{i}}| here]?",
        f"{_TELL} [what is {where}|the {most} {_THING}|the {_THING} {where}].",
        f"[What|Which] is the {most} {_THING}{_HERE}?",
        f"Which {_THING} is [{most}|the {most} one|the {most}]{_HERE}?",
        f"[And|Now] [what|which {_THING}] is {where}?",
        f"What about the {side}?",
    )


def _related(how: str) -> tuple[str, ...]:
    """Patterns for whether one thing is so placed to another."""
    return (
        f"Is the {{o}} [||placed |located |drawn |shown ]{how} the {{u}}{_HERE}?",
        f"{_IF} the {{o}} is {how} the {{u}}.",
        f"The {{o}} is {how} the {{u}}[: true?|, right?|: yes or no?|. Correct?|, is it?]",
        f"Does the {{o}} [lie|sit|stand|appear] {how} the {{u}}?",
        f"[Can|Could] you [say|tell me|check] [if|whether] the {{o}} is {how} the {{u}}?",
    )


MORE: dict[str, tuple[str, ...]] = {
    "what": (
        f"What [is|do you see|can you see|can be seen|is shown|is visible|is depicted|appears|is displayed|is drawn|is there]{_HERE}?",
        f"[What|Which] {_THINGS} [are|do you see|can you see|can be seen|are shown|are visible|are drawn|are there|appear]{_HERE}?",
        "[Name|List|Identify|Enumerate|Give me|Tell me] [everything|all objects|the objects|all shapes|the things|the contents|what you see|what is shown|what is there|all that you see]"
        f"{_HERE}.",
        "What does [this|the|that] {i} [show|contain|depict|display|present|have in it|include]?",
        "What [have we|do we have|do you recognize|do you find|do you notice] [here|there|in the {i}|in this {i}]?",
        "What [am I|are we] [looking at|seeing]?",
        "[What is|What's] [this|that|it] [||supposed to be|in the {i}|here]?",
        "What is on this {i}?",
    ),
    "describe": (
        "[Describe|Caption|Explain|Please describe|Please caption] [this|the|that] [{i}|scene] [||briefly|shortly|for me|in short|in one sentence|in a sentence|in a few words|please].",
        "[Can|Could|Would] you [describe|caption] [this|the|that] {i} [||for me|briefly|in a sentence|please]?",
        "[Give|Write|Make|Provide|Produce|Create] [||me] [a|one] [||short|brief|good|simple|fitting] [caption|description|sentence|summary] [||of the {i}|for the {i}|for this {i}|of this {i}|of the scene|about the {i}|of what you see].",
        "[What is|What would be|Suggest] a [good|short|fitting|simple] [caption|description|title] [for|of] [the|this] {i}.",
        "[Tell me something|Say something|Write something|Tell me|Write] about [this|the] [{i}|scene].",
        "[Describe|Say|Tell me] [what you see|what is shown|what it shows|what is in the {i}|the contents|what the {i} shows] [briefly|in a sentence|in short|in one sentence].",
        "[Caption|Description|A caption][|:|, please.]",
    ),
    "detail": (
        "[Describe|Explain] [this {i}|the {i}|the scene|everything|what you see|it] [in detail|in full detail|with all details|with positions|at length|exactly|precisely|thoroughly].",
        "[Give|Write|Provide|Make] [||me] [a|one] [detailed|long|thorough|full|precise|complete] description [||of the {i}|of this {i}|of what you see|of everything|of the scene].",
        "Where [are all shapes|are all things|are the shapes|are the objects|is each shape|is each thing]?",
        "[Say|Tell me|Describe|List] [what is where|where everything is|where all shapes are|all shapes with their places|each shape and its place|the shapes and where they are|everything and its position].",
    ),
    "count": (
        f"How many {_THINGS} {_SHOWN} [|||in total|in all|altogether|overall]?",
        f"[Count|Please count|Can you count] [the|all|all the] {_THINGS}{_HERE}.",
        f"[What is|Tell me|Give me|Give|Say|I need] the [number|total number|count|total] of {_THINGS}{_HERE}.",
        f"How many {_THINGS}[| altogether| in total| in all]?",
        "How many [do you see|can you see|can you count|are shown|are visible|are drawn|can be seen|are in the {i}|appear|of them are there][|| here| in total| in all]?",
    ),
    "count of": (
        f"How many {{p}} {_SHOWN} [|||in total|in all|altogether]?",
        f"[Count|Please count|Can you count] [the|all|all the] {{p}}{_HERE}.",
        f"[What is|Tell me|Give me|Give|Say|I need] the [number|total number|count] of {{p}}{_HERE}.",
        "How many [of them |of the shapes |]are {p}?",
    ),
    "color": (
        f"[What|Which] color [is|has] [the|that|this] {{s}}{_HERE}?",
        f"{_TELL} the color of [the|that] {{s}}{_HERE}.",
        "[What is|What's] the color of [the|that|this] {s}?",
        "The {s}: [what|which] color [is it|does it have|has it]?",
        "How is the {s} colored?",
        "The color of the {s}?",
        "[In|With] [what|which] color is the {s} [drawn|painted|filled|shown|colored]?",
        "[What|Which] color [does|did] the {s} [have|show]?",
    ),
    "shape": (
        "[Which|What] [one |]of [the|these|those|all the] [objects|figures|things|forms|items|elements|ones] is [||colored |the ]{c}[| one]?",
        f"[What|Which] {_THING} [is|is colored|is drawn in|is painted|has the color] {{c}}{_HERE}?",
        f"[What is|What's] the {{c}} {_THING}{_HERE}?",
        f"{_TELL} the {{c}} {_THING}{_HERE}.",
        "What [shape|form|figure|kind of shape] [does the {c} one have|is the {c} one|has the {c} object|is the {c} thing]?",
        f"The {{c}} {_THING}: what is it?",
        f"{_TELL} what the {{c}} {_THING} is.",
    ),
    "exist": (
        f"Is there {{a}}[| anywhere| somewhere| to be seen]{_HERE}?",
        f"[Do|Can] you [see|find|spot|notice|detect|recognize] {{a}}{_HERE}?",
        "[Does|Did] [this|the|that] {i} [contain|show|have|include|depict|display] {a}?",
        "Is {a} [in the {i}|here|present|visible|shown|there|drawn|part of the {i}|among the shapes]?",
        f"Are there [||any|some] {{p}}{_HERE}?",
        f"{_IF} [there is {{a}}|you see {{a}}|{{a}} is there|the {{i}} has {{a}}|there are {{p}}].",
        "[Any|Some] {p}[| here| in the {i}]?",
        "There is {a}[: true?|, right?|: yes or no?]",
    ),
    "left": _ends(
        "[on the left|at the left|on the left side|at the left edge|furthest left|furthest to the left|to the left|on the left hand side|on the very left|most to the left]",
        "[leftmost|left-most|left]", "left",
    ),
    "right": _ends(
        "[on the right|at the right|on the right side|at the right edge|furthest right|furthest to the right|to the right|on the right hand side|on the very right|most to the right]",
        "[rightmost|right-most|right]", "right",
    ),
    "top": _ends(
        "[at the top|on top|on the top|at the upper edge|at the top edge|uppermost|furthest up|at the very top|in the upper part|above all others]",
        "[topmost|highest|uppermost|upper|top]", "top",
    ),
    "bottom": _ends(
        "[at the bottom|on the bottom|at the lower edge|at the bottom edge|lowermost|furthest down|at the very bottom|in the lower part|below all others]",
        "[bottommost|lowest|lowermost|lower|bottom]", "bottom",
    ),
    "middle": _ends(
        "[in the middle|in the center|at the center|in the middle part|right in the middle|at the middle|in the central part|in the very center]",
        "[central|middle|center]", "[middle|center]",
    ),
    "where": (
        "[Where|In which place|In which area|In what area|In which region|In what region] [is|lies|can I find|do I find|can one see|sits] the {o}[|| in the {i}| in this {i}| placed| located| positioned| drawn| to be found]?",
        "[What is|Tell me|Give|Give me|Describe|Say|Name] the [position|place|location|whereabouts|region] of the {o}.",
        "[Say|Tell me|Show me|Explain] where [the {o} is|the {o} lies|I can find the {o}|to find the {o}|to look for the {o}].",
        "The {o}: where is it?",
        "On which side of the {i} is the {o}?",
    ),
    "is left": _related(_TO_LEFT),
    "is right": _related(_TO_LEFT.replace("left", "right")),
    "is above": _related(_ABOVE),
    "is below": _related(_BELOW),
    "biggest": (
        f"[What|Which] [is|one is] the [biggest|largest|greatest] {_THING}{_HERE}?",
        f"Which {_THING} is [||the ][biggest|largest|greatest]{_HERE}?",
        f"{_TELL} the [biggest|largest|greatest] {_THING}{_HERE}.",
    ),
    "smallest": (
        f"[What|Which] [is|one is] the [smallest|tiniest|littlest] {_THING}{_HERE}?",
        f"Which {_THING} is [||the ][smallest|tiniest|littlest]{_HERE}?",
        f"{_TELL} the [smallest|tiniest|littlest] {_THING}{_HERE}.",
    ),
    "background": (
        "[What|Which] color [is|has] the background[|| of the {i}| here]?",
        "What is the [color of the background|background color|background's color|background like|color behind the shapes|color behind everything]?",
        f"[{_TELL[1:-1]}|Describe] the [background|background color|color of the background][|| of the {{i}}| of this {{i}}].",
        "[On|Before|Against] [what|which] [background|color|ground] [are the shapes|is it drawn|is everything drawn|is it]?",
        "How is the background[| colored]?",
        "How does the background look[|| here| in the {i}]?",
        "What does the background look like[|| here| in the {i}]?",
        "What kind of background [is it|does it have|is there]?",
    ),
    "read": (
        f"[Read|Transcribe|Extract|Output|Print|Give|Copy|Type|Write down|Return|Recognize] [the|only the|all|all the|any] {_TEXT}[|| in the {{i}}| in this {{i}}| you see| shown| from the {{i}}| exactly].",
        "[Please|Just|Now] [read|transcribe|extract] [the text|all text|the writing][|| in the {i}| for me].",
        "[Which|What] text [is|do you see|can you see|is written|is visible|is there][|| here| in the {i}| in this {i}]?",
        "OCR[| please|, please| this {i}]",
    ),
    "says": (
        "What [does|did] [it|this|the {i}|this {i}|the text|the writing|the label|the word] [say|read|spell|state]?",
        "What is [written|printed|spelled|the word|the text|the inscription|spelled out][|| here| in the {i}| on the {i}| in this {i}| there]?",
        "[Which|What] [word|number|word or number|letters] [is|are] [written|shown|printed|visible|there][|| here| in the {i}]?",
        "[Tell me|Say|Report] what [it says|is written|the text says|the {i} says|stands there|is printed].",
    ),
    "has text": (
        f"[Is|Are] there [any|some|a] {_TEXT}[|| here| in the {{i}}| in this {{i}}| anywhere| to read| visible]?",
        f"[Do|Can] you [see|find|spot|detect|read] [any|some] {_TEXT}{_HERE}?",
        f"[Does|Did] [this|the|that] {{i}} [contain|show|have|include] [||any |some ]{_TEXT}?",
        "[Is|Was] [anything|something|any text|some text|a word|a word or number] [written|printed|visible|shown|to be read][|| here| in the {i}| in this {i}]?",
        f"{_IF} there is [||any |some ][text|writing].",
        f"Any {_TEXT}{_HERE}?",
    ),
    "text color": (
        f"[What|Which] color [is|are|has|have] the {_TEXT}{_HERE}?",
        f"{_TELL} the color of the {_TEXT}{_HERE}.",
        f"[What is|What's] the color of the [{_TEXT[1:-1]}|word|number]?",
        f"[In|With] [what|which] color [is|are] the {_TEXT} [drawn|written|printed|shown|colored]?",
    ),
    "json": (
        "[Give|Return|Output|Write|Print|Produce|Provide|Show|Describe|List|Extract|Make] [||me ][shapes|objects|everything|the contents|all shapes|the scene|the {i}|shapes and text|the result|what you see] [as|in] [||valid |a ]JSON[| format| object].",
        "JSON[|, please|, only| of the {i}| for this {i}| only|!]",
        "[Answer|Reply|Respond] [in|with|as] [||valid ]JSON[.|: what is shown?|: what do you see?|: which shapes are there?|: what is there?]",
    ),
    "box": (
        "[Give|Return|Output|Print|Tell me|Show|Get|Provide|Write] [||me ][the|a] [box|bounding box|rectangle|frame|coordinates|bounds] [of|around|for] the {o}.",
        "What [is|are] the [bounding box|box|coordinates|bounds] [of|around|for] the {o}[| in the {i}]?",
        "[Locate|Detect|Find|Mark|Box|Frame] the {o} [with a box|as a box|by a bounding box|and return its box|and give the coordinates|with coordinates].",
        "Where is the {o}? [Answer|Reply|Respond] [with|as] [coordinates|a bounding box|a rectangle].",
        "[Bounding box|Box|Coordinates], {o}[|.|?]",
    ),
    "which": (
        "Which [{i}|one|of them|of the two|of the {i}s|of these|of both|of the two {i}s] [has|contains|shows|includes|depicts|displays] {a}[| in it]?",
        "In which [{i}|one|of them|of the two|of the {i}s] [is|is there|do you see|can you see|do you find|appears] {a}?",
        "[Tell me|Say|Name] which [{i}|one|of them|of the two] [has|shows|contains] {a}.",
        "Where is {a}: in the first or the second {i}?",
        "Does the first or the second {i} [have|show|contain] {a}?",
    ),
    "nth": (
        "[What|Which shapes|Which objects|Which things] [is|are|do you see|can you see|can be seen] in the {n} [{i}|one]?",
        "What does the {n} [{i}|one] [show|contain|depict|display|have]?",
        "[Name|List|Tell me|Say|Give me] [what is|the shapes|the objects|everything|what you see] in the {n} [{i}|one].",
        "The {n} {i}: what [is it|does it show|do you see|is in it]?",
        "And the {n} [one|{i}]?",
    ),
    "differ": (
        "What [differs|is different|has changed|changed|is not the same|was changed][|| here| between them| between the {i}s| between the two| in the second one| from the first to the second]?",
        "[What is|Name|Find|Tell me|Spot|Give|State] the [difference|change][|| between the {i}s| between the two {i}s| between them| from first to second| here].",
        "How do [they|these|these {i}s|both {i}s|these two] differ[| from each other]?",
        "[Compare|Please compare] [them|both|the two|both {i}s|these {i}s].",
    ),
    "it color": (
        "[And|So|OK, and|Now|But] [what|which] color [is it|does it have|has it|is that|is that one|is this one]?",
        "[Tell me|Name|Give me|Say|State] [its|the] color[|| too| of it| of that].",
        "[And |][its|the] color[|, please]?",
        "What is [its|the] color[| of it]?",
    ),
    "it where": (
        "[And|So|Now|But] where [is it|does it lie|can I find it|is that|is it placed|is it positioned|can it be seen|does it sit][|| in the {i}| exactly]?",
        "[Tell me|Give me|Name|Say] [its|the] [position|place|location|region].",
        "[And |][its|the] [position|place|location]?",
        "[What is|What's] its [position|place|location]?",
        "In [which|what] [part|corner|region|area|place] of [the|this] {i} is it?",
    ),
    "it box": (
        "[And |][its|the] [box|bounding box|coordinates|rectangle]?",
        "[Give|Return|Output|Tell me|Print|Show] [||me ][its|the] [box|bounding box|coordinates|bounds][|| too| of it].",
        "[Locate|Box|Frame|Mark] it[| with a box| as a box| by its box].",
        "What [is|are] its [box|bounding box|coordinates|bounds]?",
    ),
}  # fmt: skip
"""Patterns by kind of question. An expansion that is a wording kept for measuring is drawn again."""

OPENINGS = (
    "Please tell me: ", "Tell me, ", "Can you tell me: ", "I want to know: ", "Quick question: ", "Now: ", "OK, ", "So, ",
    "Well, ", "And ", "Look at the image. ", "Please answer: ", "Question: ", "Hey, ", "Look closely. ", "Be brief: ",
    "Thanks. ", "In your opinion, ", "Just wondering, ", "One more: ", "Next: ", "Answer this: ", "User: ", "Q: ",
)  # fmt: skip
"""What may come before a question, for training only."""
CLOSINGS = (" Please.", " Thanks!", " Answer briefly.", " Be precise.", " Thank you.", " Answer in English.", "\n", " ")
"""What may come after a question, for training only."""

_TOPIC = "[the {o}|{p}|{a}|the {u}|history|physics|chemistry|football|music|cooking|politics|the war|love|money|the weather|the internet|Italy|Berlin|Paris|Japan|Shakespeare|Einstein|the economy|medicine|law|space|evolution|electricity|taxes|time travel|the future|dinosaurs]"
_WHO = "[the person|the man|the woman|the boy|the girl|the child|the people|they|he|she|this person|that man|that woman|the {o}|the driver|the player|the doctor|somebody]"

MORE_OUTSIDE = (
    "[Write|Compose|Make up|Invent|Create|Give me|Tell me|Sing|Recite] [a|one|a short|a long|another] [poem|song|tale|letter|essay|joke|novel|speech|recipe|haiku|rhyme|tweet|blog post|fairy tale|report|limerick|puzzle|proverb|prayer|secret].",
    f"[Write|Compose|Make up|Invent|Give me|Tell me] a [poem|song|tale|letter|essay|joke|speech|story|riddle|fact] about {_TOPIC}.",
    f"[Explain|Define|Discuss|Summarize|Teach me|Tell me about|Prove|Compare|Criticize|Review|Outline] {_TOPIC}.",
    f"[What do you know about|What do you think of|What is your opinion of|Why is there|Who invented|Who discovered|How does one make|What is the meaning of|What is the history of|What causes] {_TOPIC}?",
    "[Translate|Convert|Rewrite|Paraphrase|Correct|Spell] [this|it|the text|the sentence|that] [into|to|in] [German|Spanish|Latin|Chinese|Italian|Japanese|English|Russian|Greek|plain English].",
    "[Write|Fix|Debug|Run|Explain|Give me|Make] [a|the|some|this] [Java|C|Rust|JavaScript|SQL|shell|HTML|R] [code|program|function|script|query|page].",
    "[Book|Order|Buy|Call|Send|Open|Close|Start|Stop|Play|Find me|Cancel|Reserve|Rent|Sell|Pay|Deliver|Bring me] [a|the|my|some|an] [taxi|hotel|{o}|ticket|flight|meal|coffee|email|message|alarm|timer|browser|music|film|bill|app].",
    "[What|How much] is [1|2|3|4|5|6|7|8|9|10|12|20|50|100] [plus|minus|times|divided by|and|to the power of] [1|2|3|4|5|6|8|9|10|11|15|30]?",
    "[Calculate|Compute|Solve|Differentiate|Estimate|Simplify|Plot] [the sum|the equation|the derivative|the average|x squared|the product|the probability|the area|the volume|this problem|the root].",
    "[Who|What] is [the president|the king|the capital|the population|the currency|the anthem|the flag|the language|the largest city|the leader|the queen] of [France|Germany|China|Brazil|Kenya|Canada|India|Norway|Egypt|the moon]?",
    f"[What is|What's] {_WHO} [doing|thinking|saying|eating|reading|holding on to|looking at|carrying|feeling|drinking|afraid of|called|riding|cooking|playing]?",
    f"[Why|How|When|Where] [is|does|did|was|will] {_WHO} [happy|angry|run|fall|smiling|go|sleep|born|laugh|sit|come|win|sing|drive|tired|cry]?",
    f"[Is|Are|Was|Were] {_WHO} [happy|angry|tired|married|asleep|alive|dangerous|rich|ill|hungry|afraid|in love|at home|at work|famous|dead|young|a friend of yours]?",
    f"[How old|How tall|How heavy|How fast|How strong|How rich|How smart|How expensive|How hot|How deep|How long|How wide|How far] [is|are|was|were] {_WHO}?",
    "[What|Which] [brand|model|make|species|breed|kind|type|sort|version] [is|was] [this|that|it|the {o}|of {o} is this|of {o} is that]?",
    "[What|Which] [city|country|street|museum|planet|house|school|hotel|river|valley|restaurant|building|place|village] is [this|that|shown here|it]?",
    "[What|Which] [kind|type|sort|species|breed] of [bird|flower|tree|fish|dog|car|plane|boat|food|building|insect|fruit|cloud|stone|instrument|{o}] is [this|that|it]?",
    "[What|Which] [year|day|month|season|hour|century|decade|date|time of day|time of year] [is|was] [it|this|that|shown]?",
    "[When|Where|Why|How|By whom] was [this|it|that|the {i}] [taken|made|drawn|painted|printed|built|found|bought|photographed|filmed|published]?",
    "Who [took|made|drew|painted|owns|built|bought|sent|edited|likes|printed|published|paid for] [this|it|that|this {i}|the {i}]?",
    "[With|On|In] [what|which] [camera|phone|lens|film|paper|tool|program|style|museum|book|newspaper|mood|weather] was [this|it|the {i}] [taken|made|shown|edited|printed]?",
    "[Is|Was] [this|it|that|the {i}] [edible|poisonous|legal|expensive|cheap|famous|real|fake|old|new|broken|dangerous|art|a photo of somebody|outdoors|in Europe|worth anything|copyrighted|good|bad|true|funny|sad]?",
    "[Can|May|Should|Must|Could] [I|we|one|you] [drink|eat|wash|touch|sell|keep|use|copy|drive|swim|smoke|park|sing|fly|sleep|dance|help them|buy this|trust this|repair it|marry me|hear me]?",
    "How [do|can|should|would] [I|we|one|you] [cook|repair|build|clean|sell|use|grow|play|reach|wash|install|learn|make|open] [it|this|that|the {o}|{p}]?",
    "[What is|Tell me|Give me|Find|Read out] the [price|address|phone number|serial number|name of the owner|name of the shop|total|email|date of birth|password|expiry date|author|publisher|title|headline|score|speed limit|brand|weight|temperature|wifi name|bar code]!",
    "[What is|Tell me|Give me] the [price|weight|age|smell|taste|sound|owner|purpose|function|value|origin|speed|temperature] of [this|it|that|the {o}|the {u}]?",
    "[What|Which] [feeling|emotion|mood|message|idea|lesson|story|joke|symbol|theory] [does it have|is behind it|does it express|comes to mind|do you get]?",
    "[Do|Did|Would|Will|Can] you [like|hate|love|remember|want|know|understand|dream of|believe in|miss|fear|trust] [me|it|us|{p}|my {o}|this|that|the {o}|people|yourself]?",
    "[Are you|Were you|Will you be] [alive|human|happy|conscious|tired|free|clever|a robot|a person|married|hungry|Chinese|real|male or female|there]?",
    "[What|Who|Which] [will win|won|lost|scored|is winning|is better|is the best|came first|is the champion|is the richest]?",
    "[Name|List|Give me|Tell me] [two|three|four|five|ten|some|all] [presidents|kings|countries|rivers|cities|animals|films|songs|planets|languages|authors|elements|{p}|sports|tools|recipes|reasons].",
    "[Will|Did|Does] it [rain|snow|hurt|work|fly|cost much|burn|matter|get dark|be cold|happen again|last] [||today|tomorrow|soon|there|again]?",
    "[Crop|Blur|Sharpen|Rotate|Resize|Brighten|Darken|Colorize|Flip|Print|Delete|Save|Upload|Share|Edit|Animate] [the {i}|this {i}|it|the background|the face|the {o}].",
    "[Draw|Paint|Generate|Show me|Design|Sketch|Photograph] [a|an|another|some|the] [{o}|logo|map|portrait|diagram|{u}|poster|chart|plan].",
    "[Is there|Do you see|Diagnose|Where is|Describe] [a|the|any] [fracture|tumor|disease|infection|injury|tooth|lesion|symptom|treatment|wound]?",
    "[What|How] [do|does] [the|this|these] [chart|graph|table|diagram|map|document|invoice|receipt|sign|letter|contract|numbers] [mean|say about us|show|prove|compare|end]?",
    "[What|Which] [{o}|{o}|{v}] [is|was] [this|that|it|shown|shown here|meant|in the {i}|the best|best]?",
    "[What|Which] [{o}|{v}] [does|do|did|can|will] [it|this|he|she|they|the {u}|I|we] [have|need|{v}|want|show|make|take|eat|see|call|use]?",
    "What is [its|this|that|your|his|her|their|the] [{o}|{v}] [called|for|about|worth|made of|doing]?",
    "What is [its|your|his|her|their] [{o}|{v}]?",
    "[What|Who|Which] is the [{o}|{v}] of [the|this|that|a|my] [{u}|{o}][|| here| in the {i}]?",
    "[What is|Tell me|Give me] the {o}'s [{u}|{v}|age|job|weight|birthday|address|price].",
    "How [long|tall|old|heavy|rich|strong|huge|deep|wide|fast|small|large|{v}|{v}] [is|was] [the {o}|the {o}|the {o}|this|it]?",
    "What is the {o}'s [size|age|name|{v}|shape|price|use|{u}]?",
    "[What|Who] [is|is there|stands|do you see] [behind|beside|under|inside|near|close to|around|after|opposite|beyond|{v}] the {o}[|| here| in the {i}]?",
    "[Is|Was|Are|Were] [this|it|that|they|the {o}|the {p}|he|she] [{v}|{v}|{v}ed|{v}ing|the {u}|going to {v}]?",
    "[Can|Should|May|Could|Does|Do|Did] [I|we|you|they|he|she|the {o}] {v} [it|this|that|here|the {u}|{p}]?",
    "[Who|Why|When|Where|How] [is|was|did|does|will|has] [he|she|it|they|the {o}|this|the {u}] [{v}|{v}ing|{v}ed|so {v}|going|made|there]?",
    "[{v}|Please {v}|Now {v}|Help me {v}|Try to {v}] [the {o}|it|this|a {u}|some {p}|me|the {i}].",
    "[Who|What] [sits|lies|sleeps|hangs|waits|walks|was|has been] [next to|close to|beside|near|by] [the {o}|the {u}|her {o}|that {u}][|| here| now]?",
    "[How|Just how|And how] [big|huge|tiny|fat|thick|sharp|soft|big] [are|were] [the {p}|his {p}|{p}|these {p}|real {p}]?",
    "[What|Which] [{o}|{u}|{v}|{o}] is [this|that][|| here| now| supposed to be]?",
    "What [did|does|will|should] [she|they|it|the {o}|somebody] [answer|shout|whisper|ask|mean|think|hear|dream|{v}]?",
    "[What is|How much is|Work out] [half|a third|a quarter|two percent|5 percent|10 percent|30 percent] of [6|12|20|40|90|200|the {o}|the {p}]?",
    "[What is|What was|How high is] the [cost|price|worth|rent|fee|tax] of [the {o}|this {o}|one {o}|two {p}|the {u}]?",
    "What [{o}|{v}] is [it|he|she]?",
)  # fmt: skip
"""Patterns of questions it has no answer to, for training only."""
