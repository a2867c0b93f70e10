"""Questions about a scene and their answers, in sentences; ambiguous questions are never asked.

Markup: a word written `@0+2:fox` is about the objects 0 and 2. Training reads the marks (guidance); `plain` removes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tiny.offtopic import OFF_TOPIC, invented_word
from tiny.scenes import Scene, Thing
from tiny.vocabulary import BACKGROUNDS, COLOURS, NOUNS, NUMBERS, POSITIONS, article

MARK = re.compile(r"@([\d+]+):")
GAP = 0.17  # how far apart two centres are before we call one left of, or above, the other
UNKNOWN_WORD = "I do not know that word."
OFF_TOPIC_ANSWER = "I do not know. Ask me about the picture."


@dataclass(frozen=True)
class Question:
    """`text` and `answer` carry marks; `kind` groups the accuracy figures."""

    kind: str
    text: str
    answer: str


def plain(text: str) -> str:
    """The text without marks."""
    return MARK.sub("", text)


def _one_of(rng: np.random.Generator, options: tuple) -> str:
    return options[int(rng.integers(len(options)))]


def _mark(word: str, *things: int) -> str:
    """Every word of the phrase marked as being about these objects."""
    tag = "+".join(map(str, things))
    return " ".join(f"@{tag}:{part}" for part in word.split())


def _unique_names(scene: Scene) -> dict[int, str]:
    """A phrase for each object that means it alone: its noun, or its colour and noun."""
    names = {}
    for index, thing in enumerate(scene.things):
        same_noun = [t for t in scene.things if t.noun == thing.noun]
        if len(same_noun) == 1:
            names[index] = thing.noun
        elif sum(t.label == thing.label for t in same_noun) == 1:
            names[index] = thing.label
    return names


def _referable(rng: np.random.Generator, scene: Scene) -> tuple[int, str] | None:
    names = _unique_names(scene)
    if not names:
        return None
    index = int(rng.choice(list(names)))
    name = scene.things[index].label if rng.random() < 0.25 else names[index]
    return index, _mark(name, index)


def _a(thing: Thing, index: int) -> str:
    return f"{article(thing.label)} {_mark(thing.label, index)}"


PICTURE = ("picture", "image", "photo")


def exists(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Is there a fox? The wrong ones are nouns or colours that this scene lacks."""
    if scene.things and rng.random() < 0.5:
        index = int(rng.integers(len(scene.things)))
        thing = scene.things[index]
        name = thing.label if rng.random() < 0.6 else thing.noun
        about = [i for i, t in enumerate(scene.things) if t.noun == thing.noun and (name == t.noun or t.label == name)]
        phrase, answer = _mark(name, *about), "Yes, there is {}."
    else:
        painted = [t for t in scene.things if t.colour]
        if painted and rng.random() < 0.4:
            noun = painted[int(rng.integers(len(painted)))].noun
        else:
            noun = _one_of(rng, tuple(NOUNS))
        name = f"{_one_of(rng, tuple(COLOURS))} {noun}" if NOUNS[noun].painted and rng.random() < 0.6 else noun
        if any(name in (t.noun, t.label) for t in scene.things):
            return None
        phrase, answer = name, "No, there is no {}."
    question = _one_of(
        rng,
        (
            "Is there {a} in the {p}?",
            "Is there {a}?",
            "Do you see {a}?",
            "Can you see {a} in the {p}?",
            "Is there {a} here?",
        ),
    )
    subject = f"{article(name)} {phrase}"
    return Question(
        "exists",
        question.format(a=subject, p=_one_of(rng, PICTURE)),
        answer.format(subject if answer[0] == "Y" else phrase),
    )


def count(scene: Scene, rng: np.random.Generator) -> Question | None:
    """How many foxes are there? Never more than three."""
    if rng.random() < 0.15:
        total = len(scene.things)
        if total > 3:
            return None
        question = _one_of(
            rng, ("How many things are there?", "How many objects are in the {p}?", "How many things do you see?")
        )
        number, noun = ("nothing", "") if total == 0 else (NUMBERS[total], " thing" if total == 1 else " things")
        every = _mark(number, *range(total)) if total else number
        return Question(
            "count", question.format(p=_one_of(rng, PICTURE)), f"There {'are' if total > 1 else 'is'} {every}{noun}."
        )
    if scene.things and rng.random() < 0.85:
        repeated = [t.noun for t in scene.things if sum(o.noun == t.noun for o in scene.things) > 1]
        noun = (
            _one_of(rng, tuple(repeated))
            if repeated and rng.random() < 0.7
            else scene.things[int(rng.integers(len(scene.things)))].noun
        )
    else:
        noun = _one_of(rng, tuple(NOUNS))
    about = [i for i, t in enumerate(scene.things) if t.noun == noun]
    if len(about) > 3:
        return None
    many = _mark(NOUNS[noun].many, *about) if about else NOUNS[noun].many
    shown = noun if len(about) == 1 else NOUNS[noun].many
    shown = _mark(shown, *about) if about else shown
    number = _mark(NUMBERS[len(about)], *about) if about else "no"
    question = _one_of(
        rng, ("How many {n} are there?", "How many {n} are in the {p}?", "How many {n} do you see?", "Count the {n}.")
    )
    return Question(
        "count",
        question.format(n=many, p=_one_of(rng, PICTURE)),
        f"There {'is' if len(about) == 1 else 'are'} {number} {shown}.",
    )


def side(scene: Scene, rng: np.random.Generator) -> Question | None:
    """What is on the left? A side is a whole column or row, a corner or the middle one of the nine fields."""
    where = _one_of(rng, POSITIONS)
    row, column = divmod(POSITIONS.index(where), 3)
    if where == "in the middle" or (row != 1 and column != 1):
        found = [i for i, t in enumerate(scene.things) if (t.row, t.column) == (row, column)]
    elif row == 1:
        found = [i for i, t in enumerate(scene.things) if t.column == column]
    else:
        found = [i for i, t in enumerate(scene.things) if t.row == row]
    if len(found) > 1 or (not found and rng.random() > 0.12):
        return None
    question = _one_of(
        rng, ("What is {w}?", "What is {w} of the {p}?", "What do you see {w}?", "What can you see {w}?")
    )
    if where == "in the middle" and "{p}" in question:
        question = "What is in the middle of the {p}?"
    text = question.format(w=where, p=_one_of(rng, PICTURE))
    if not found:
        return Question("side", text, f"There is nothing {where}.")
    return Question("side", text, f"There is {_a(scene.things[found[0]], found[0])} {where}.")


def where(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Where is the fox? One of nine phrases."""
    chosen = _referable(rng, scene)
    if chosen is None:
        return None
    index, name = chosen
    question = _one_of(
        rng,
        ("Where is the {n}?", "Where is the {n} in the {p}?", "Where do you see the {n}?", "Where can I find the {n}?"),
    )
    answer = f"The {name} is {_mark(scene.things[index].position, index)}."
    return Question("where", question.format(n=name, p=_one_of(rng, PICTURE)), answer)


RELATIONS = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def relation(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Is the fox left of the car? Only for centres that lie clearly apart."""
    names = _unique_names(scene)
    if len(names) < 2:
        return None
    first, second = (int(i) for i in rng.choice(list(names), 2, replace=False))
    word = _one_of(rng, tuple(RELATIONS))
    axis, sign = RELATIONS[word]
    distance = scene.things[first].centre[axis] - scene.things[second].centre[axis]
    if abs(distance) < GAP:
        return None
    a, b = _mark(names[first], first), _mark(names[second], second)
    true = word if distance * sign > 0 else OPPOSITE[word]
    said = f"the {a} is {_mark(true, first)} the {b}."
    if rng.random() < 0.35:
        pair = (word, OPPOSITE[word])
        return Question("relation", f"Is the {a} {pair[0]} or {pair[1]} the {b}?", said[0].upper() + said[1:])
    aside = " to the" if axis == 0 and rng.random() < 0.3 else ""
    return Question("relation", f"Is the {a}{aside} {word} the {b}?", f"{'Yes' if true == word else 'No'}, {said}")


def next_to(scene: Scene, rng: np.random.Generator) -> Question | None:
    """What is next to the fox? Only where two objects are in the picture."""
    if len(scene.things) != 2 or scene.things[0].noun == scene.things[1].noun:
        return None
    first = int(rng.integers(2))
    name, other = _mark(scene.things[first].noun, first), _a(scene.things[1 - first], 1 - first)
    question = _one_of(
        rng, ("What is next to the {n}?", "What is beside the {n}?", "What else is there besides the {n}?")
    )
    return Question("next_to", question.format(n=name), f"There is {other} next to the {name}.")


def colour(scene: Scene, rng: np.random.Generator) -> Question | None:
    """What colour is the car? Also for emoji whose colour nobody would dispute."""
    names = {i: n for i, n in _unique_names(scene).items() if n == scene.things[i].noun}
    known = [i for i in names if scene.things[i].colour or NOUNS[scene.things[i].noun].colour]
    if not known:
        return None
    painted = [i for i in known if scene.things[i].colour]
    index = int(rng.choice(painted if painted and rng.random() < 0.8 else known))
    name = _mark(names[index], index)
    word = scene.things[index].colour or NOUNS[names[index]].colour
    spelling = _one_of(rng, ("colour", "color"))
    question = _one_of(
        rng,
        ("What {c} is the {n}?", "Which {c} is the {n}?", "What {c} does the {n} have?", "What is the {c} of the {n}?"),
    )
    return Question("colour", question.format(c=spelling, n=name), f"The {name} is {_mark(str(word), index)}.")


def of_colour(scene: Scene, rng: np.random.Generator) -> Question | None:
    """What is red? Asked only where nothing else could be called so."""
    painted = [i for i, t in enumerate(scene.things) if t.colour]
    if not painted:
        return None
    index = int(rng.choice(painted))
    word = str(scene.things[index].colour)
    others = [t for i, t in enumerate(scene.things) if i != index]
    if any(t.colour == word or word in NOUNS[t.noun].visible for t in others):
        return None
    question = _one_of(
        rng, ("What is {c}?", "Which thing is {c}?", "What {c} thing do you see?", "What is {c} in the {p}?")
    )
    text = question.format(c=_mark(word, index), p=_one_of(rng, PICTURE))
    return Question("of_colour", text, f"The {_mark(scene.things[index].noun, index)} is {_mark(word, index)}.")


def describe(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Describe the picture: its objects from left to right, equal ones together."""
    if len(scene.things) > 3:
        return None
    order = sorted(range(len(scene.things)), key=lambda i: scene.things[i].centre[0])
    groups: dict[str, list[int]] = {}
    for index in order:
        groups.setdefault(scene.things[index].label, []).append(index)
    first = [scene.things[members[0]].centre[0] for members in groups.values()]
    if any(right - left < 0.09 for left, right in zip(first, first[1:], strict=False)):
        return None
    phrases = []
    for members in groups.values():
        thing = scene.things[members[0]]
        if len(members) == 1:
            phrases.append(_a(thing, members[0]))
        else:
            many = NOUNS[thing.noun].many
            phrases.append(
                _mark(f"{NUMBERS[len(members)]} {thing.colour + ' ' if thing.colour else ''}{many}", *members)
            )
    text = _one_of(
        rng,
        (
            "Describe the {p}.",
            "What is in the {p}?",
            "What do you see?",
            "What do you see in the {p}?",
            "What does the {p} show?",
            "What can you see?",
        ),
    )
    listed = (
        "nothing"
        if not phrases
        else phrases[0]
        if len(phrases) == 1
        else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
    )
    return Question("describe", text.format(p=_one_of(rng, PICTURE)), f"I see {listed}.")


def background(scene: Scene, rng: np.random.Generator) -> Question | None:
    """What is the background?"""
    question = _one_of(
        rng,
        (
            "What is the background?",
            "What is in the background?",
            "What is behind it all?",
            "What background does the {p} have?",
            "What kind of place is this?",
        ),
    )
    return Question(
        "background", question.format(p=_one_of(rng, PICTURE)), f"The background is {BACKGROUNDS[scene.background]}."
    )


def unknown(scene: Scene, rng: np.random.Generator, held_out: bool = False) -> Question | None:
    """A word that was never taught, or talk that has nothing to do with the picture: an honest way out."""
    if rng.random() < 0.4:
        return Question("unknown", _one_of(rng, OFF_TOPIC[1] if held_out else OFF_TOPIC[0]), OFF_TOPIC_ANSWER)
    word = invented_word(rng, held_out)
    template = _one_of(
        rng,
        (
            "Is there {a} {w}?",
            "Is there {a} {w} in the {p}?",
            "Where is the {w}?",
            "What colour is the {w}?",
            "What color is the {w}?",
            "How many {w}s are there?",
            "What is next to the {w}?",
            "Do you see {a} {w}?",
            "Can you see {a} {w} in the {p}?",
            "What is the {w}?",
        ),
    )
    return Question("unknown", template.format(a=article(word), w=word, p=_one_of(rng, PICTURE)), UNKNOWN_WORD)


KINDS: dict[str, tuple[Callable[[Scene, np.random.Generator], Question | None], float]] = {
    "exists": (exists, 1.3),
    "count": (count, 1.3),
    "side": (side, 1.2),
    "where": (where, 1.3),
    "relation": (relation, 1.3),
    "next_to": (next_to, 0.9),
    "colour": (colour, 1.0),
    "of_colour": (of_colour, 0.7),
    "describe": (describe, 1.5),
    "background": (background, 0.5),
    "unknown": (unknown, 0.6),
}


def ask(scene: Scene, kind: str, rng: np.random.Generator, tries: int = 4) -> Question | None:
    """A question of this kind, or None if the scene gives no unambiguous one."""
    for _ in range(tries):
        question = KINDS[kind][0](scene, rng)
        if question is not None:
            return question
    return None


def rephrase(text: str, rng: np.random.Generator) -> str:
    """What people do when they type: lower case, no question mark, shortened forms."""
    if rng.random() < 0.2:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.15:
        text = text.rstrip("?.")
    return text


def ask_many(scene: Scene, wanted: int, rng: np.random.Generator) -> list[Question]:
    """Up to `wanted` different questions, kinds drawn by weight."""
    kinds = list(KINDS)
    weights = np.array([KINDS[kind][1] for kind in kinds])
    questions: dict[str, Question] = {}
    for kind in rng.choice(kinds, size=2 * wanted, p=weights / weights.sum()):
        question = ask(scene, str(kind), rng, tries=2)
        if question is not None:
            questions.setdefault(plain(question.text), question)
        if len(questions) == wanted:
            break
    return list(questions.values())
