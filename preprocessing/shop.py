"""The built-in corpus: dialogs of an online shop with its customers, in English and Korean, generated in Spark.

`shop_english.toml` and `shop_korean.toml` hold the language; each says at its top how. A template is compiled to a
tuple of parts: a string stands as it is, of a tuple of templates one is drawn, a function adds text that depends on
what came before (a Korean particle, a slot whose value stays the same through a dialog).
"""

import functools
import json
import re
import tomllib
from bisect import bisect, bisect_left
from collections.abc import Callable, Iterable, Iterator
from importlib.resources import files
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

GRAMMARS = {"en": "shop_english.toml", "ko": "shop_korean.toml"}
ENGLISH = 0.55  # share of dialogs
# Turns of dialog 0, 1, 2, ...: a fixed cycle, so that the number of rows before a dialog is plain arithmetic.
LENGTHS = (6, 4, 8, 5, 7, 3, 10, 6, 5, 9, 4, 7)
ENDS = list(accumulate(LENGTHS))
KINDS = 6  # ways in which a line can be broken; the agent's lines know the first two

TOKENS = re.compile(r"([(|)#]|\{\w+\}|<[^<>]+/[^<>]+>)")
ENCODE = json.JSONEncoder(ensure_ascii=False).encode

Draw = Callable[[], float]  # uniform in [0, 1)
Part = Any  # str | tuple[Template, ...] | Callable: type checkers do not follow the recursion
Template = tuple[Part, ...]
DIGITS: Part = tuple((digit,) for digit in "0123456789")
Turn = tuple[str | None, Template]  # intent, None where the agent speaks; and what is said


class Grammar(NamedTuple):
    """One language, compiled: `lines[intent][use]` are templates, `shares` and `noise` probabilities by name."""

    lines: dict[str, dict[str, tuple[Template, ...]]]
    problems: list[str]  # intents that a dialog can be about
    weights: list[float]  # of the problems, cumulative
    related: dict[str, list[str]]
    shares: dict[str, float]
    noise: dict[str, float]
    slips: list[list[str]]
    emoji: list[str]


def shop_dialogs(
    spark: SparkSession, rows: int, seed: int, broken_fraction: float = 0.002, partitions: int | None = None
) -> DataFrame:
    """JSON lines (one string column `value`), one dialog turn a line, exactly `rows` of them."""
    cycles, rest = divmod(rows, ENDS[-1])
    dialogs = cycles * len(LENGTHS) + (bisect_left(ENDS, rest) + 1 if rest else 0)

    def generate(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            lines: list[str] = []
            for dialog in batch.column(0).to_pylist():
                lines += _dialog(seed, dialog, broken_fraction)[: rows - _rows_before(dialog)]
            yield pa.RecordBatch.from_arrays([pa.array(lines, pa.string())], ["value"])

    return spark.range(0, dialogs, 1, partitions).mapInArrow(generate, "value string")


def _rows_before(dialog: int) -> int:
    cycles, place = divmod(dialog, len(LENGTHS))
    return cycles * ENDS[-1] + ENDS[place] - LENGTHS[place]


def _dialog(seed: int, dialog: int, broken_fraction: float) -> list[str]:
    """The lines of one dialog; all chance in them comes from the seed and the number of the dialog."""
    draw = Random(f"{seed}/{dialog}").random
    language = "en" if draw() < ENGLISH else "ko"
    grammar = _grammar(language)
    habits = {name for name, share in grammar.noise.items() if draw() < share}
    memory: dict[str, str] = {}
    lines = []
    for turn, (intent, template) in enumerate(_plan(grammar, draw, LENGTHS[dialog % len(LENGTHS)])):
        text = _render(template, draw, memory)
        if intent:
            text = _typed(text, grammar, habits, draw)
        # By hand: only the text can need escaping, and an encoder for the whole line takes twice as long.
        start = f'{{"dialog_id": "d{dialog:08d}", "turn": {turn}, "speaker": "{"user" if intent else "agent"}"'
        label = f'"{intent}"' if intent else "null"
        fields = [f'{start}, "language": "{language}"', f'"text": {ENCODE(text)}', f'"intent": {label}']
        breaks = draw()
        good = breaks >= broken_fraction
        lines.append(", ".join(fields) + "}" if good else _broken(fields, intent, breaks / broken_fraction))
    return lines


def _broken(fields: list[str], intent: str | None, chance: float) -> str:
    """The line as a faulty export writes it; `chance`, in [0, 1), says in which way."""
    kind, rest = divmod(chance * KINDS, 1)
    start, text, label = fields
    if intent is None:
        kind %= 2  # without its text or intent an agent's line would still be a good one
    if kind == 0:
        line = ", ".join(fields)
        return line[: 1 + int(rest * len(line))]
    if kind == 1:
        return f"ERROR {int(rest * 1000):03d} upstream timeout, {text}"
    ends = (label, f'"text": "{" " * int(rest * 3)}", {label}', f'{text}, "intent": null', text)
    return f"{start}, {ends[int(kind) - 2]}}}"


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
        near = grammar.related.get(problem)
        if near and draw() < shares["related"]:
            problem = near[int(draw() * len(near))]
        else:
            problem = grammar.problems[bisect(grammar.weights, draw() * grammar.weights[-1])]
        turns += _problem(grammar, problem, draw)
        if length - len(turns) < 3 or draw() < shares["closing"]:
            for intent in ("thanks", "goodbye") if draw() < shares["thanks"] else ("goodbye",):
                turns += [(intent, _one(lines[intent]["say"], draw)), (None, _one(lines[intent]["reply"], draw))]
    return turns[:length]


def _problem(grammar: Grammar, intent: str, draw: Draw) -> list[Turn]:
    """The customer says what it is about; the agent asks or answers; the customer perhaps adds something."""
    lines, shares = grammar.lines[intent], grammar.shares
    vague = "vague" in lines and draw() < shares["vague"]
    turns: list[Turn] = [(intent, _one(lines["vague" if vague else "say"], draw))]
    if "detail" in lines and draw() < shares["detail"]:
        turns += [(None, _one(lines["detail"], draw)), (intent, _one(lines["give"], draw))]
    if "ask" in lines and draw() < shares["ask"]:
        answer, then = ("affirm", "yes") if draw() < shares["yes"] else ("deny", "no")
        said = _one(grammar.lines[answer]["say"], draw)
        turns += [(None, _one(lines["ask"], draw)), (answer, said), (None, _one(lines[then], draw))]
    else:
        turns.append((None, _one(lines["reply"], draw)))
    if "follow" in lines and draw() < shares["follow"]:
        turns += [(intent, _one(lines["follow"], draw)), (None, _one(lines["reply"], draw))]
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


def _remembered(name: str, choice: Template, draw: Draw, memory: dict[str, str], out: list[str]) -> None:
    """Adds the value that the slot has in this dialog, drawn at its first use."""
    if name not in memory:
        memory[name] = _render(choice, draw, memory)
    out.append(memory[name])


def _particle(closed: str, open_: str, draw: Draw, memory: dict[str, str], out: list[str]) -> None:
    """Adds the form of a Korean particle that the syllable before it asks for: one with a final consonant or not."""
    final = (ord(out[-1][-1]) - ord("가")) % 28 if "가" <= out[-1][-1] <= "힣" else 0
    out.append(open_ if final == 0 or (final == 8 and closed == "으로") else closed)  # 8: ㄹ, as in 일요일로


def _typed(text: str, grammar: Grammar, habits: set[str], draw: Draw) -> str:
    """The utterance as a customer with these habits types it, who does not follow them every time."""
    text = text.lower() if "lower" in habits else text.upper() if "upper" in habits else text
    if "bare" in habits:
        text = text.rstrip(".!").replace("'", "").replace(",", "")
    if "slips" in habits and draw() < 0.5:
        for right, wrong in grammar.slips:
            text = text.replace(right, wrong)
    if "letters" in habits and len(text) > 5 and draw() < 0.7:
        at = 1 + int(draw() * (len(text) - 3))
        one, two = text[at], text[at + 1]
        if one.isalpha() and two.isalpha():
            text = text[:at] + (two + one, two, one + one + two)[int(draw() * 3)] + text[at + 2 :]
    if "spaces" in habits and draw() < 0.7:
        text = text.replace(" ", "", -1 if draw() < 0.12 else 1)
    if "emoji" in habits and draw() < 0.4:
        text += grammar.emoji[int(draw() * len(grammar.emoji))]
    return text


@functools.cache
def _grammar(language: str) -> Grammar:
    """The grammar of a language from package data, compiled; once in each worker process."""
    raw = tomllib.loads(files("preprocessing").joinpath(GRAMMARS[language]).read_text("utf-8"))
    intents: dict[str, dict[str, Any]] = raw["intents"]
    for group in raw["groups"]:
        for intent in group["intents"]:
            for use in group.keys() - {"intents"}:
                intents[intent][use] = intents[intent].get(use, []) + group[use]
    slots: dict[str, Template] = {}
    for name, values in raw["slots"].items():
        choice: Template = (tuple(_compiled(value, slots) for value in values),)
        slots[name] = (functools.partial(_remembered, name, choice),) if name in raw["remember"] else choice
    lines = {
        intent: {use: tuple(_compiled(line, slots) for line in uses[use]) for use in uses.keys() - {"weight", "next"}}
        for intent, uses in intents.items()
    }
    problems = [intent for intent in intents if "weight" in intents[intent]]
    weights = list(accumulate(intents[intent]["weight"] for intent in problems))
    related = {intent: intents[intent].get("next", []) for intent in problems}
    return Grammar(lines, problems, weights, related, raw["shares"], raw["noise"], raw["slips"], raw["emoji"])


def _compiled(text: str, slots: dict[str, Template]) -> Template:
    stack: list[list[list[Part]]] = [[[]]]  # for each open bracket its alternatives so far, each a list of parts
    for token in TOKENS.split(text):
        parts = stack[-1][-1]
        if token == "(":
            stack.append([[]])
        elif token == "|" and len(stack) > 1:
            stack[-1].append([])
        elif token == ")" and len(stack) > 1:
            stack[-2][-1].append(tuple(tuple(choice) for choice in stack.pop()))
        elif token == "#":
            parts.append(DIGITS)
        elif token[:1] == "<":
            parts.append(functools.partial(_particle, *token[1:-1].split("/")))
        elif token[1:-1] in slots and token[0] == "{":
            parts += slots[token[1:-1]]
        elif token and not set(token) & set("{|)"):
            parts.append(token)
        elif token:
            raise ValueError(f"template {text!r}: '{token}' pairs with no bracket, or is no slot of those above")
    if len(stack) > 1:
        raise ValueError(f"template {text!r}: a bracket is not closed")
    return tuple(stack[0][0])
