"""Words of other worlds than the model's, for the questions whose answer it must not know. Data only."""

NOUNS = (
    "pencil", "eraser", "ruler", "notebook", "newspaper", "magazine", "envelope", "stamp", "coin", "wallet", "key",
    "lock", "hammer", "nail", "saw", "drill", "screw", "wrench", "rope", "chain", "wheel", "engine", "tyre",
    "pedal", "saddle", "helmet", "boot", "sock", "sweater", "skirt", "belt", "tie", "button", "pocket", "coat",
    "suit", "necklace", "earring", "bracelet", "watch", "finger", "thumb", "knee", "elbow", "shoulder", "tooth",
    "tongue", "beard", "foot", "arm", "leg", "heel", "bone", "skull", "heartbeat", "brother", "sister", "uncle",
    "aunt", "cousin", "grandmother", "neighbour", "teacher", "student", "nurse", "farmer", "baker", "waiter",
    "singer", "dancer", "painter", "writer", "pilot", "sailor", "thief", "judge", "lawyer", "priest", "prince",
    "princess", "wizard", "ghost", "giant", "clown", "pirate", "hero", "potato", "onion", "garlic", "pepper",
    "cucumber", "lettuce", "bean", "pea", "rice", "noodle", "soup", "salad", "steak", "sausage", "chicken",
    "butter", "honey", "jam", "sugar", "salt", "cookie", "chocolate", "ice cream", "pie", "lemon", "grape",
    "cherry", "peach", "pear", "melon", "pineapple", "coconut", "nut", "tea", "coffee", "beer", "wine", "milk",
    "pig", "donkey", "camel", "deer", "squirrel", "hedgehog", "bat", "rat", "hamster", "frog", "lizard",
    "crocodile", "whale", "dolphin", "shark", "octopus", "crab", "shrimp", "snail", "worm", "ant", "bee", "wasp",
    "fly", "butterfly", "mosquito", "eagle", "parrot", "swan", "goose", "rooster", "pigeon", "ostrich", "peacock",
    "dinosaur", "unicorn", "oak", "pine", "palm", "rose", "tulip", "daisy", "bush", "root", "branch", "seed",
    "forest", "field", "desert", "hill", "valley", "cliff", "cave", "ocean", "wave", "storm", "thunder",
    "lightning", "rainbow", "wind", "fog", "ice", "farm", "barn", "school", "hospital", "library", "museum",
    "factory", "office", "kitchen", "bathroom", "bedroom", "stairs", "balcony", "chimney", "cellar", "attic",
    "floor", "ceiling", "brick", "cement", "tunnel", "harbour", "airport", "station", "market", "shop",
    "restaurant", "hotel", "prison", "park", "playground", "swing", "slide", "doll", "puzzle", "chess", "card",
    "dice", "balloon", "drone", "radio", "television", "printer", "router", "cable", "battery", "plug", "socket",
    "switch", "fan", "heater", "stove", "pan", "pot", "lid", "tray", "towel", "soap", "shampoo", "comb", "brush",
    "razor", "toilet", "sink", "shower", "bathtub", "blanket", "mattress", "vase", "poster", "statue", "flag",
    "medal", "trophy", "flute", "harp", "bell", "whistle", "song", "film", "story", "poem", "love letter",
    "invoice", "receipt", "ticket", "passport", "contract", "recipe", "menu", "calendar", "city", "village",
    "country", "war", "peace", "dream", "idea", "price", "salary", "birthday", "wedding", "party", "holiday",
    "lesson", "exam", "disease", "virus", "medicine", "bandage", "needle", "tumour", "ambulance", "taxi", "tram",
    "ferry", "canoe", "yacht", "balloonist", "parachute", "satellite", "comet", "galaxy", "alien", "magnet",
    "microscope", "telescope", "thermometer",
)  # fmt: skip
"""Things that are no drawn shapes, more than `wordings` has."""

VERBS = (
    "cook", "sing", "dance", "sleep", "dream", "drive", "swim", "jump", "climb", "fight", "laugh", "cry", "shout",
    "whisper", "argue", "agree", "marry", "travel", "study", "teach", "learn", "work", "rest", "wait", "hurry",
    "hide", "steal", "pay", "sell", "rent", "borrow", "lend", "repair", "wash", "iron", "sew", "knit", "plant",
    "harvest", "hunt", "fish", "bake", "boil", "fry", "chew", "swallow", "taste", "smell", "sneeze", "cough",
    "breathe", "bleed", "heal", "grow", "shrink", "explode", "burn", "freeze", "melt", "vote", "pray", "lie",
    "promise", "forget", "remember", "regret", "trust", "hate", "adore", "kiss", "hug", "punch", "kick", "throw",
    "catch", "juggle", "skate", "ski", "surf", "sail", "vanish",
)  # fmt: skip
