"""Questions about two pictures, in the markup of `tiny.questions`: objects of the second picture count on from those of the first."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from tiny.questions import KINDS, MARK, PICTURE, Question, ask, plain
from tiny.scenes import Scene
from tiny.vocabulary import BACKGROUNDS, COLOURS, NOUNS, article

ORDINALS = ("first", "second")
#: Kinds of questions about one picture that are also asked about one of two; the picture is named in the question.
INSIDE = ("exists", "count", "side", "where", "relation", "colour", "of_colour", "describe", "background")
THE_PICTURE = re.compile(r"\bthe (picture|image|photo)\b")
LAST_STOP = re.compile(r"[?.]$")
WORDS = frozenset(
    f" {word}"
    for word in "first second both Both neither Neither only picture pictures image images photo photos show shows has have Which which of".split()
) | {"Which", "which", "Do", "do", "In", "in"}


def _moved(text: str, by: int) -> str:
    """Marks of the second picture count on from those of the first."""
    return MARK.sub(lambda mark: "@" + "+".join(str(int(i) + by) for i in mark[1].split("+")) + ":", text)


def inside(scenes: tuple[Scene, Scene], rng: np.random.Generator) -> Question | None:
    """A question about one of the two pictures."""
    which = int(rng.integers(2))
    question = ask(scenes[which], str(rng.choice(INSIDE)), rng, tries=2)
    if question is None:
        return None
    named = f"the {ORDINALS[which]} {PICTURE[int(rng.integers(len(PICTURE)))]}"
    text, found = THE_PICTURE.subn(named, question.text)
    if not found:
        if question.kind == "background":  # "What kind of place is this in the first picture?"
            return None
        text = LAST_STOP.sub(f" in {named}" + r"\g<0>", question.text)
    by = len(scenes[0].things) if which else 0
    return Question(f"{question.kind} in one of two", _moved(text, by), _moved(question.answer, by))


def _name(scenes: tuple[Scene, Scene], rng: np.random.Generator) -> tuple[str, list[list[int]]]:
    """A noun, perhaps with a colour, and the objects of each picture that it means. One in eight is in neither picture."""
    things = [thing for scene in scenes for thing in scene.things]
    if things and rng.random() < 0.87:
        thing = things[int(rng.integers(len(things)))]
        name = thing.label if rng.random() < 0.5 else thing.noun
    else:
        noun = str(rng.choice(list(NOUNS)))
        name = f"{rng.choice(list(COLOURS))} {noun}" if NOUNS[noun].painted and rng.random() < 0.5 else noun
    found, offset = [], 0
    for scene in scenes:
        found.append([offset + i for i, thing in enumerate(scene.things) if name in (thing.noun, thing.label)])
        offset += len(scene.things)
    return name, found


def _marked(name: str, things: list[int]) -> str:
    tag = "+".join(map(str, things))
    return " ".join(f"@{tag}:{part}" for part in name.split()) if things else name


def which(scenes: tuple[Scene, Scene], rng: np.random.Generator) -> Question:
    """Which picture shows a fox?"""
    name, found = _name(scenes, rng)
    marked = f"{article(name)} {_marked(name, found[0] + found[1])}"
    question = ("Which {p} shows {a}?", "Which {p} has {a}?", "In which {p} is {a}?", "Which of the {p}s shows {a}?")
    text = question[int(rng.integers(len(question)))].format(p=PICTURE[int(rng.integers(3))], a=marked)
    if found[0] and found[1]:
        return Question("which", text, f"Both pictures show {marked}.")
    if not found[0] and not found[1]:
        return Question("which", text, f"Neither picture shows {marked}.")
    one = 0 if found[0] else 1
    return Question("which", text, f"The {_marked(ORDINALS[one], found[one])} picture shows {marked}.")


def which_background(scenes: tuple[Scene, Scene], rng: np.random.Generator) -> Question:
    """Which picture shows a beach?"""
    shown = [scene.background for scene in scenes]
    places = [name for name in BACKGROUNDS if name != "plain"]
    wanted = [name for name in shown if name in places] if rng.random() < 0.87 else places
    background = str(rng.choice(wanted or places))
    place = BACKGROUNDS[background]
    text = ("Which {p} shows {a}?", "Which {p} has {a} as background?")[int(rng.integers(2))]
    text = text.format(p=PICTURE[int(rng.integers(3))], a=place)
    here = [name == background for name in shown]
    answer = f"Both pictures show {place}." if all(here) else f"Neither picture shows {place}."
    if any(here) and not all(here):
        answer = f"The {ORDINALS[here.index(True)]} picture shows {place}."
    return Question("which background", text, answer)


def both(scenes: tuple[Scene, Scene], rng: np.random.Generator) -> Question:
    """Do both pictures show a fox?"""
    name, found = _name(scenes, rng)
    marked = f"{article(name)} {_marked(name, found[0] + found[1])}"
    question = ("Do both {p}s show {a}?", "Do both {p}s have {a}?", "Is there {a} in both {p}s?")
    text = question[int(rng.integers(len(question)))].format(p=PICTURE[int(rng.integers(3))], a=marked)
    if found[0] and found[1]:
        return Question("both", text, f"Yes, both pictures show {marked}.")
    if not found[0] and not found[1]:
        return Question("both", text, f"No, neither picture shows {marked}.")
    one = 0 if found[0] else 1
    return Question("both", text, f"No, only the {_marked(ORDINALS[one], found[one])} picture shows {marked}.")


PAIR_KINDS: dict[str, tuple[Callable[[tuple[Scene, Scene], np.random.Generator], Question | None], float]] = {
    "which": (which, 0.3),
    "which background": (which_background, 0.08),
    "both": (both, 0.14),
    "inside": (inside, 0.48),
}


def ask_pair(scenes: tuple[Scene, Scene], wanted: int, rng: np.random.Generator) -> list[Question]:
    """Up to `wanted` different questions about two pictures, kinds drawn by weight."""
    kinds = list(PAIR_KINDS)
    questions: dict[str, Question] = {}
    for kind in rng.choice(kinds, size=3 * wanted, p=[PAIR_KINDS[kind][1] for kind in kinds]):
        question = PAIR_KINDS[str(kind)][0](scenes, rng)
        if question is not None:
            questions.setdefault(plain(question.text), question)
        if len(questions) == wanted:
            break
    return list(questions.values())


assert set(INSIDE) <= set(KINDS)
