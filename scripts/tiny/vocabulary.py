"""What the scenes can contain: nouns, colours, positions and backgrounds.

What a person could call a thing's colour decides which colour questions would be ambiguous, and those are never asked.
"""

from __future__ import annotations

from dataclasses import dataclass

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 36, 40),
    "orange": (255, 138, 20),
    "yellow": (252, 214, 30),
    "green": (48, 168, 62),
    "blue": (42, 106, 232),
    "purple": (124, 58, 196),
    "pink": (255, 118, 186),
}

POSITIONS: tuple[str, ...] = (
    "at the top left",
    "at the top",
    "at the top right",
    "on the left",
    "in the middle",
    "on the right",
    "at the bottom left",
    "at the bottom",
    "at the bottom right",
)

BACKGROUNDS: dict[str, str] = {
    "plain": "plain",
    "meadow": "a meadow",
    "beach": "a beach",
    "night": "a night sky",
    "snow": "a snowy field",
    "room": "a room",
}

NUMBERS: tuple[str, ...] = ("no", "one", "two", "three")


@dataclass(frozen=True)
class Noun:
    """A thing that a scene can show.

    `emoji` is None for a drawn shape. `colour` is the answer to "which colour?" where it is not painted by us (None: never
    asked). `also` lists further colours that a person might name.
    """

    name: str
    emoji: str | None
    painted: bool = False
    colour: str | None = None
    also: tuple[str, ...] = ()
    plural: str = ""

    @property
    def many(self) -> str:
        return self.plural or self.name + "s"

    @property
    def visible(self) -> frozenset[str]:
        """Every colour word that might describe this thing."""
        return frozenset((*self.also, *((self.colour,) if self.colour else ())))


_NOUNS = (
    Noun("cat", "🐱", colour="yellow", also=("orange",)),
    Noun("dog", "🐶", also=("orange", "yellow")),
    Noun("fox", "🦊", colour="orange", also=("red",), plural="foxes"),
    Noun("lion", "🦁", also=("yellow", "orange")),
    Noun("bear", "🐻", colour="brown", also=("orange",)),
    Noun("panda", "🐼"),
    Noun("rabbit", "🐰", colour="grey", also=("pink",)),
    Noun("frog", "🐸", colour="green", also=("yellow",)),
    Noun("pig", "🐷", colour="pink", also=("orange",)),
    Noun("cow", "🐮", also=("orange", "yellow")),
    Noun("monkey", "🐵", colour="brown", also=("orange",)),
    Noun("penguin", "🐧", also=("yellow", "orange")),
    Noun("owl", "🦉", colour="brown", also=("orange",)),
    Noun("fish", "🐠", colour="yellow", also=("orange",), plural="fish"),
    Noun("whale", "🐳", colour="blue"),
    Noun("octopus", "🐙", also=("red", "pink", "orange"), plural="octopuses"),
    Noun("crab", "🦀", colour="orange", also=("red",)),
    Noun("turtle", "🐢", colour="green"),
    Noun("snail", "🐌", colour="brown", also=("orange", "red")),
    Noun("butterfly", "🦋", colour="orange", plural="butterflies"),
    Noun("tree", "🌳", colour="green"),
    Noun("cactus", "🌵", colour="green", plural="cactuses"),
    Noun("flower", "🌻", colour="yellow", also=("orange", "green")),
    Noun("mushroom", "🍄", colour="red", also=("orange",)),
    Noun("banana", "🍌", colour="yellow", also=("orange",)),
    Noun("pizza", "🍕", also=("orange", "red", "yellow")),
    Noun("cake", "🎂", also=("red", "pink", "yellow", "orange")),
    Noun("ball", "⚽"),
    Noun("clock", "⏰", colour="red"),
    Noun("guitar", "🎸", colour="red"),
    Noun("house", "🏠", also=("orange", "red", "green")),
    Noun("rocket", "🚀", also=("red", "blue", "yellow")),
    Noun("car", "🚗", painted=True),
    Noun("balloon", "🎈", painted=True),
    Noun("book", "📕", painted=True),
    Noun("umbrella", "☂", painted=True),
    Noun("bird", "🐦", painted=True),
    Noun("apple", "🍎", painted=True),
    Noun("circle", None, painted=True),
    Noun("square", None, painted=True),
    Noun("triangle", None, painted=True),
    Noun("star", None, painted=True),
)
NOUNS: dict[str, Noun] = {noun.name: noun for noun in _NOUNS}
NOUN_INDEX: dict[str, int] = {name: index for index, name in enumerate(NOUNS)}
COLOUR_INDEX: dict[str, int] = {name: index for index, name in enumerate(COLOURS)}
BACKGROUND_INDEX: dict[str, int] = {name: index for index, name in enumerate(BACKGROUNDS)}


def article(word: str) -> str:
    """`a` or `an`, which holds for every noun and colour above."""
    return "an" if word[0] in "aeiou" else "a"
