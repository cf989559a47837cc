"""Patterns that give many more wordings of each kind of question, for training only. Data, and nothing that chooses.

In brackets: alternatives. In braces: as in `wordings`; and {v} a made-up word. What comes out may be clumsy; it is
there so that words are learnt, not sentences.
"""

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
    """Patterns for whether one thing is placed like this relative to another."""
    return (
        f"Is the {{o}} [||placed |located |drawn |shown ]{how} the {{u}}{_HERE}?",
        f"{_IF} the {{o}} is {how} the {{u}}.",
        f"The {{o}} is {how} the {{u}}[: true?|, right?|: yes or no?|. Correct?|, is it?]",
        f"Does the {{o}} [lie|sit|stand|appear] {how} the {{u}}?",
        f"[Can|Could] you [say|tell me|check] [if|whether] the {{o}} is {how} the {{u}}?",
    )


BY_KIND: dict[str, tuple[str, ...]] = {
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
"""Patterns by kind of question. Where one gives a wording that is kept for measuring, another is chosen."""

OPENINGS = (
    "Please tell me: ", "Tell me, ", "Can you tell me: ", "I want to know: ", "Quick question: ", "Now: ", "OK, ", "So, ",
    "Well, ", "And ", "Look at the image. ", "Please answer: ", "Question: ", "Hey, ", "Look closely. ", "Be brief: ",
    "Thanks. ", "In your opinion, ", "Just wondering, ", "One more: ", "Next: ", "Answer this: ", "User: ", "Q: ",
)  # fmt: skip
"""What may come before a question."""
CLOSINGS = (" Please.", " Thanks!", " Answer briefly.", " Be precise.", " Thank you.", " Answer in English.", "\n", " ")
"""What may come after a question."""

_TOPIC = "[the {o}|{p}|{a}|the {u}|history|physics|chemistry|football|music|cooking|politics|the war|love|money|the weather|the internet|Italy|Berlin|Paris|Japan|Shakespeare|Einstein|the economy|medicine|law|space|evolution|electricity|taxes|time travel|the future|dinosaurs]"
_WHO = "[the person|the man|the woman|the boy|the girl|the child|the people|they|he|she|this person|that man|that woman|the {o}|the driver|the player|the doctor|somebody]"

OUTSIDE = (
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
"""Patterns of questions that have no answer in the model's world."""
