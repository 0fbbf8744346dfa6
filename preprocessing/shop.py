"""The built-in corpus: dialogs of an online shop with its customers, in English and Korean, generated in Spark.

`shop_english.toml` and `shop_korean.toml` hold the language: what each says at its top. A template is compiled to a
tuple of parts: a string stands as it is, a tuple holds alternatives of which one is drawn, a function adds text that
depends on what came before (a Korean particle, a slot whose value stays the same through a dialog).
"""

import functools
import json
import tomllib
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator
from importlib.resources import files
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

LANGUAGES = {"en": "shop_english.toml", "ko": "shop_korean.toml"}
ENGLISH = 0.55  # share of dialogs
# Turns of dialog 0, 1, 2, ...: a fixed cycle, so that the number of rows before a dialog is plain arithmetic.
LENGTHS = (6, 4, 8, 5, 7, 3, 10, 6, 5, 9, 4, 7)
KINDS = 6  # of broken lines: see _broken

Draw = Callable[[], float]  # uniform in [0, 1)
Part = Any  # str | tuple[Template, ...] | Callable: recursive, which type checkers take for an alias only in part
Template = tuple[Part, ...]
Turn = tuple[str | None, Template]  # intent, null where the agent speaks; and what is said


class Grammar(NamedTuple):
    """One language, compiled: `lines[intent][use]` are templates, `noise` and `shares` probabilities by name."""

    lines: dict[str, dict[str, tuple[Template, ...]]]
    problems: list[str]
    weights: list[float]  # cumulative, as `problems`
    next_problems: dict[str, list[str]]
    shares: dict[str, float]
    noise: dict[str, float]
    slips: list[tuple[str, str]]
    emoji: list[str]


def shop_dialogs(
    spark: SparkSession, rows: int, seed: int, broken_fraction: float = 0.002, partitions: int | None = None
) -> DataFrame:
    """JSON lines (one string column `value`), one dialog turn a line, exactly `rows` of them."""
    dialogs, rest = divmod(rows, sum(LENGTHS))
    ends = list(accumulate(LENGTHS))
    dialogs = dialogs * len(LENGTHS) + (bisect(ends, rest - 1) + 1 if rest else 0)

    def generate(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            lines: list[str] = []
            for dialog in batch.column(0).to_pylist():
                lines += _dialog(seed, dialog, rows - _rows_before(dialog), broken_fraction)
            yield pa.RecordBatch.from_arrays([pa.array(lines, pa.string())], ["value"])

    return spark.range(0, dialogs, 1, partitions).mapInArrow(generate, "value string")


def _rows_before(dialog: int) -> int:
    cycles, place = divmod(dialog, len(LENGTHS))
    return cycles * sum(LENGTHS) + sum(LENGTHS[:place])


def _dialog(seed: int, dialog: int, rows_left: int, broken_fraction: float) -> list[str]:
    """The lines of one dialog, at most `rows_left`. All chance comes from the seed and the number of the dialog."""
    draw = Random(f"{seed}/{dialog}").random
    language = "en" if draw() < ENGLISH else "ko"
    grammar = _grammar(language)
    habits = {name: draw() < share for name, share in grammar.noise.items()}
    memory: dict[str, str] = {}
    lines = []
    for turn, (intent, template) in enumerate(_plan(grammar, draw, LENGTHS[dialog % len(LENGTHS)])):
        text = _render(template, draw, memory)
        if intent:
            text = _typed(text, grammar, habits, draw)
        breaks = draw()
        if breaks < broken_fraction:
            lines.append(_broken(dialog, turn, language, text, intent, breaks / broken_fraction))
        else:
            lines.append(_line(dialog, turn, language, intent, f', "text": {ENCODE(text)}'))
    return lines[:rows_left]


ENCODE = json.JSONEncoder(ensure_ascii=False).encode


def _line(dialog: int, turn: int, language: str, intent: str | None, text: str, label: bool = True) -> str:
    """One JSON line; by hand, as the fields around the text need no escaping and an encoder takes twice as long."""
    speaker = "user" if intent else "agent"
    end = f', "intent": "{intent}"}}' if intent and label else ', "intent": null}'
    return f'{{"dialog_id": "d{dialog:08d}", "turn": {turn}, "speaker": "{speaker}", "language": "{language}"{text}{end}'


def _broken(dialog: int, turn: int, language: str, text: str, intent: str | None, chance: float) -> str:
    """The line as a faulty export writes it; `chance`, in [0, 1), says in which way."""
    kind, rest = divmod(chance * KINDS, 1)
    said = f', "text": {ENCODE(text)}'
    good = _line(dialog, turn, language, intent, said)
    if kind == 0 or (intent is None and kind > 1):
        return good[: 1 + int(rest * (len(good) - 1))]
    if kind == 1:
        return f"ERROR {int(rest * 1000):03d} upstream timeout d{dialog:08d} {text}"
    if kind == 2:
        return _line(dialog, turn, language, intent, "")
    if kind == 3:
        return _line(dialog, turn, language, intent, ', "text": "' + " " * int(rest * 3) + '"')
    if kind == 4:
        return _line(dialog, turn, language, intent, said, label=False)
    return good[: good.rindex(', "intent"')] + "}"


def _plan(grammar: Grammar, draw: Draw, length: int) -> list[Turn]:
    """Who says what: a greeting perhaps, problems one after the other, thanks; cut at `length` turns."""
    lines, shares = grammar.lines, grammar.shares
    turns: list[Turn] = []
    if length > 3 and draw() < shares["greeting"]:
        turns.append(("greeting", _one(lines["greeting"]["say"], draw)))
        if draw() < shares["greeting_answered"]:
            turns.append((None, _one(lines["greeting"]["reply"], draw)))
    problem = ""
    while len(turns) < length:
        problem = _next_problem(grammar, problem, draw)
        turns += _problem(grammar, problem, draw)
        if length - len(turns) < 3 or draw() < shares["closing"]:
            for intent in ("thanks", "goodbye") if draw() < shares["thanks"] else ("goodbye",):
                turns.append((intent, _one(lines[intent]["say"], draw)))
                turns.append((None, _one(lines[intent]["reply"], draw)))
    return turns[:length]


def _next_problem(grammar: Grammar, problem: str, draw: Draw) -> str:
    related = grammar.next_problems.get(problem)
    if related and draw() < grammar.shares["related"]:
        return related[int(draw() * len(related))]
    return grammar.problems[bisect(grammar.weights, draw() * grammar.weights[-1])]


def _problem(grammar: Grammar, intent: str, draw: Draw) -> list[Turn]:
    """The customer says what it is about; the agent asks or answers; the customer adds something."""
    lines, shares = grammar.lines[intent], grammar.shares
    vague = "vague" in lines and draw() < shares["vague"]
    turns: list[Turn] = [(intent, _one(lines["vague" if vague else "say"], draw))]
    if "detail" in lines and draw() < shares["detail"]:
        turns.append((None, _one(lines["detail"], draw)))
        turns.append((intent, _one(lines["give"], draw)))
    if "ask" in lines and draw() < shares["ask"]:
        turns.append((None, _one(lines["ask"], draw)))
        answer, then = ("affirm", "yes") if draw() < shares["yes"] else ("deny", "no")
        turns.append((answer, _one(grammar.lines[answer]["say"], draw)))
        turns.append((None, _one(lines[then], draw)))
    else:
        turns.append((None, _one(lines["reply"], draw)))
    if "follow" in lines and draw() < shares["follow"]:
        turns.append((intent, _one(lines["follow"], draw)))
        turns.append((None, _one(lines["reply"], draw)))
    return turns


def _one(templates: tuple[Template, ...], draw: Draw) -> Template:
    return templates[int(draw() * len(templates))]


def _render(template: Template, draw: Draw, memory: dict[str, str]) -> str:
    out: list[str] = []
    _add(template, draw, memory, out)
    # optional parts leave doubled spaces, and spaces before the mark that closes a sentence
    return " ".join("".join(out).split()).replace(" ,", ",").replace(" ?", "?").replace(" .", ".").replace(" !", "!")


def _add(template: Template, draw: Draw, memory: dict[str, str], out: list[str]) -> None:
    for part in template:
        if type(part) is str:
            out.append(part)
        elif type(part) is tuple:
            _add(part[int(draw() * len(part))], draw, memory, out)
        else:
            part(draw, memory, out)


def _typed(text: str, grammar: Grammar, habits: dict[str, bool], draw: Draw) -> str:
    """The utterance as a customer with these habits types it."""
    if habits["lower"]:
        text = text.lower()
    elif habits["upper"]:
        text = text.upper()
    if habits["bare"]:
        text = text.rstrip(".!").replace("'", "").replace(",", "")
    chance = draw()
    if habits["slips"] and chance < 0.5:
        for right, wrong in grammar.slips:
            text = text.replace(right, wrong)
    if habits["letters"] and chance < 0.7 and len(text) > 5:
        at = 1 + int(draw() * (len(text) - 3))
        one, two = text[at], text[at + 1]
        if one.isalpha() and two.isalpha():
            text = text[:at] + (two + one, two, one + one + two)[int(chance * 30) % 3] + text[at + 2 :]
    if habits["spaces"] and chance > 0.3:
        text = text.replace(" ", "") if chance > 0.8 else text.replace(" ", "", 1)
    if habits["emoji"] and chance > 0.6:
        text = f"{text}{grammar.emoji[int(draw() * len(grammar.emoji))]}"
    return text


@functools.cache
def _grammar(language: str) -> Grammar:
    """The grammar of a language from package data, compiled; once in each worker process."""
    raw = tomllib.loads(files("preprocessing").joinpath(LANGUAGES[language]).read_text("utf-8"))
    intents: dict[str, dict[str, Any]] = raw["intents"]
    for group in raw["groups"]:  # lines that several intents have in common
        for intent in group["intents"]:
            for use in group.keys() - {"intents"}:
                intents[intent][use] = intents[intent].get(use, []) + group[use]
    slots: dict[str, Template] = {}
    for name, values in raw["slots"].items():  # a slot may use those above it
        choice: Template = (tuple(_compiled(value, slots) for value in values),)
        slots[name] = (functools.partial(_remembered, name, choice),) if name in raw["remember"] else choice
    lines = {
        intent: {use: tuple(_compiled(line, slots) for line in uses[use]) for use in uses.keys() - {"weight", "next"}}
        for intent, uses in intents.items()
    }
    problems = [intent for intent in intents if "weight" in intents[intent]]
    return Grammar(
        lines,
        problems,
        list(accumulate(intents[intent]["weight"] for intent in problems)),
        {intent: intents[intent]["next"] for intent in problems if "next" in intents[intent]},
        raw["shares"],
        raw["noise"],
        [(right, wrong) for right, wrong in raw["slips"]],
        raw["emoji"],
    )


def _compiled(text: str, slots: dict[str, Template]) -> Template:
    template, end = _alternative(text, 0, slots)
    if end < len(text):
        raise ValueError(f"template {text!r}: '{text[end]}' at {end} stands outside of brackets; remove it")
    return template


def _alternative(text: str, at: int, slots: dict[str, Template]) -> tuple[Template, int]:
    """The parts of `text` from `at` to the next `|`, `)` or the end, and where that is."""
    parts: list[Part] = []
    start = at
    while at < len(text) and text[at] not in "|)":
        if text[at] not in "{(<#":
            at += 1
            continue
        parts.append(text[start:at])
        if text[at] == "(":
            choices = []
            while text[at] != ")":
                choice, at = _alternative(text, at + 1, slots)
                if at == len(text):
                    raise ValueError(f"template {text!r}: '(' without ')'")
                choices.append(choice)
            parts.append(tuple(choices))
        elif text[at] == "#":
            parts.append(DIGITS)
        else:
            end = text.index("}" if text[at] == "{" else ">", at)
            name, slot = text[at + 1 : end], text[at] == "{"
            parts += slots[name] if slot else [functools.partial(_particle, *name.split("/"))]
            at = end
        start = at = at + 1
    parts.append(text[start:at])
    return tuple(part for part in parts if part), at


DIGITS: Part = tuple((digit,) for digit in "0123456789")


def _remembered(name: str, choice: Template, draw: Draw, memory: dict[str, str], out: list[str]) -> None:
    """Adds the value that the slot has in this dialog, drawn at its first use."""
    if name not in memory:
        value: list[str] = []
        _add(choice, draw, memory, value)
        memory[name] = "".join(value)
    out.append(memory[name])


def _particle(closed: str, open_: str, draw: Draw, memory: dict[str, str], out: list[str]) -> None:
    """Adds the form of a Korean particle that the syllable before it asks for: one with a final consonant or not."""
    final = (ord(out[-1][-1]) - 0xAC00) % 28 if out and "가" <= out[-1][-1] <= "힣" else 0
    out.append(open_ if final == 0 or (final == 8 and closed == "으로") else closed)
