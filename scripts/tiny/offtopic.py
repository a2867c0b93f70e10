"""Talk that has nothing to do with the picture, and words that were never taught.

The second list of each pair is kept out of training, so that the honest answer is measured on wording the model has not seen.
"""

from __future__ import annotations

import numpy as np

_TRAIN_TALK = """Hello!|Hello|Hi!|Hi|Hey|Hello there|Good morning|Good evening|How are you?|Who are you?|What is your name?|Thank you|Thanks!|Bye|Goodbye
What is the capital of France?|What is the capital of Spain?|What is the capital of Japan?|Who wrote this book?|Who is the president?|Tell me a joke|Tell me a story.
What time is it?|What day is it today?|How old are you?|Where do you live?|What is two plus two?|What is 2 + 2?|What is 7 times 6?|Can you help me?|Please help me
Write a poem|Write some code.|Translate this to German|What is the weather like?|Will it rain tomorrow?|Do you like music?|What is love?|Why is the sky blue?
Sing a song|Who won the game?|How do I cook rice?|What is the meaning of life?|Are you a robot?|Can you speak French?|Explain gravity|Who invented the telephone?
What should I eat today?|Play some music.|How far is the moon from here?|When was the war?|Why?|How?|Who?|When?|Yes|No|Okay|Test|asdf|qwerty|blah blah|lorem ipsum
How much does it cost?|What language is this?|Give me a recipe|Are you happy?|Do you sleep?|What can you do?|Who made you?|Solve this for me|Hello, how are you?
What is the largest country?|What is the smallest number?|How tall is the mountain?|Is it going to snow?|Which team is best?|Name a famous painter|Good night|Nice to meet you""".replace(
    "\n", "|"
)
_HELD_TALK = """Hello! How is it going?|Good afternoon|What is the capital of Italy?|Who are your parents?|Tell me a secret|What is 5 plus 3?|Do you like books?|Who wrote the song?
Why is grass green?|Translate this to Spanish|How do I cook pasta?|Can you dance?|What year is it?|Write a letter|Explain magnetism|Who invented the radio?""".replace(
    "\n", "|"
)
OFF_TOPIC: tuple[tuple[str, ...], tuple[str, ...]] = (tuple(_TRAIN_TALK.split("|")), tuple(_HELD_TALK.split("|")))

_TRAIN_WORDS = """giraffe elephant tiger zebra horse sheep goat duck goose swan chicken mouse rat squirrel wolf deer moose camel kangaroo koala crocodile lizard snake dragon
dinosaur shark dolphin seal lobster shrimp spider ant beetle bee wasp worm person man woman boy girl child baby king queen doctor teacher policeman robot ghost witch
bus truck train plane bicycle motorcycle boat ship tram taxi tractor helicopter wheel engine road bridge tower castle church school shop door window wall roof
table chair sofa bed lamp mirror carpet shelf desk computer phone camera radio television keyboard screen pen pencil paper letter stamp scissors knife fork spoon
plate cup bottle glass bowl pan kettle bread cheese butter egg milk coffee tea juice beer wine sugar salt rice soup salad burger sandwich sausage chocolate cookie
lemon grape pear peach cherry strawberry melon pineapple tomato potato carrot onion pepper pumpkin corn bean garlic hat shirt coat shoe sock glove scarf
dress jacket ring necklace watch wallet bag suitcase ladder hammer nail saw rope bucket broom candle match fire smoke river lake mountain island desert forest
rock stone leaf branch root grass seed cloud rain storm rainbow lightning planet comet sun moon earth diamond crown sword shield arrow flag trumpet drum piano violin
heart hand foot head eye nose mouth ear hair tooth bone brain""".split()
_HELD_WORDS = "hippo rhino parrot pigeon leopard jellyfish nurse pirate van submarine fridge pillow blanket toaster mango coconut cucumber belt helmet shovel volcano waterfall meteor flute cello knee elbow".split()
_ONSETS = "b bl br c ch cl d dr f fl g gl gr h j k l m n p pl pr qu r s sh sl st t tr v w z".split()
_VOWELS = "a e i o u ai ea oo ou".split()
_CODAS = "b ck d f g ll m n nd p r rk s sk st t x zz".split()


def invented_word(rng: np.random.Generator, held_out: bool) -> str:
    """A word that no scene contains: a real one, or (one time in three) a made-up one."""
    if rng.random() < 0.33:
        return "".join(str(rng.choice(part)) for part in (_ONSETS, _VOWELS, _CODAS) * int(rng.integers(1, 3)))
    words = _HELD_WORDS if held_out else _TRAIN_WORDS
    return words[int(rng.integers(len(words)))]
