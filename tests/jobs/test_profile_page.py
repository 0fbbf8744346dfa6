"""The dataset's page: says what the three files hold, whatever texts, intents and paths contain, and stands alone."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from lxml import html
from pyspark.sql import SparkSession

from jobs import preprocess
from jobs.config import AppConfig
from jobs.profile_page import render_profile, verdict, write_page
from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.drift import measure_drift
from preprocessing.pipeline import build_dataset

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(2)>'
KOREAN = "카드를 잃어버렸어요 🙏"
MATHS = "$\\frac{1}{"  # matplotlib would read it as a formula


def split(intents: dict[str, int], known: float) -> dict[str, Any]:
    examples = sum(intents.values())
    coverage = {
        "types": 400, "known_types": 300, "known_types_fraction": 0.75,
        "tokens": 8000, "known_tokens": round(8000 * known), "known_tokens_fraction": known,
    }  # fmt: skip
    lengths = {"1": examples // 2, "7": examples // 4, "24": examples - examples // 2 - examples // 4}
    return {
        "examples": examples, "tokens": 8000, "unknown_fraction": 1 - known, "coverage": coverage,
        "languages": {"ko": examples - 40, IMAGE: 30, "": 10}, "intents": intents, "lengths": lengths,
    }  # fmt: skip


@pytest.fixture
def profile() -> dict[str, Any]:
    many = {f"intent_{index:02d}": 400 // (index + 2) for index in range(30)}
    splits = {
        "train": split({SCRIPT: 900, IMAGE: 600, KOREAN: 300, MATHS: 250, **many}, 0.991),
        "validation": split({SCRIPT: 90, IMAGE: 60, KOREAN: 30, MATHS: 20}, 0.9613),
        "test": split({SCRIPT: 95, IMAGE: 65, KOREAN: 25, MATHS: 15}, 0.9517),
    }
    examples = sum(found["examples"] for found in splits.values())
    return {
        "version": 1, "corpus": {"path": [f"/data/{SCRIPT}"], "format": "json"}, "tokenizer": "words",
        "max_tokens": 24, "rows_in": examples + 4000 + 130, "context_only": 4000,
        "rejected": {"malformed record": 110, "no intent": 20}, "dialogs": 1700,
        "turns_per_dialog": {"2": 200, "3": 900, "11": 600}, "vocabulary_size": 1234,
        "leaks": {}, "small_intents": [{"intent": IMAGE, "train": 600, "validation": 60, "test": 0}],
        "splits": splits,
        "rejected_examples": {
            "malformed record": [{"malformed": '{"text": "' + SCRIPT}],
            "no intent": [{"text": IMAGE, "dialog_id": SCRIPT, "turn": 0}, {"text": KOREAN}],
        },
    }  # fmt: skip


def leak(text: str, intents: dict[str, int]) -> dict[str, Any]:
    return {"text": text, "examples": sum(intents.values()), "splits": {"train": 3, "test": 1}, "intents": intents}


@pytest.fixture
def leaks() -> dict[str, Any]:
    listed = [leak(SCRIPT, {IMAGE: 4}), *[leak(f"text {index}", {KOREAN: 4}) for index in range(19)]]
    mixed = [leak(IMAGE, {SCRIPT: 9, KOREAN: 1, **{f"other {index}": 1 for index in range(8)}})]
    return {
        "several_splits": {
            "texts": 41, "examples": {"train": 90, "validation": 30, "test": 38},
            "of_training": {"validation": 29, "test": 37}, "listed": listed,
        },
        "several_intents": {"texts": 1, "examples": 18, "listed": mixed},
    }  # fmt: skip


@pytest.fixture
def drift(profile: dict[str, Any]) -> dict[str, Any]:
    before = json.loads(json.dumps(profile))
    before["splits"]["train"]["intents"] |= {SCRIPT: 100, "vanished & gone": 800}
    before["splits"]["test"]["coverage"]["known_tokens"] = 7999
    del before["splits"]["train"]["intents"][MATHS], before["splits"]["train"]["intents"]["intent_07"]
    return measure_drift(before, profile, f"/old/{IMAGE}")


@pytest.fixture
def page(profile: dict[str, Any], leaks: dict[str, Any], drift: dict[str, Any]) -> str:
    return render_profile(profile, leaks, drift)


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", html.fromstring(re.sub(r"(?s)<style>.*?</style>", "", page)).text_content())


def test_tags_balance_and_ids_are_unique(page: str) -> None:
    parser = html.HTMLParser()
    ids = html.fromstring(page, parser=parser).xpath("//@id")
    assert len(ids) > 50 and len(ids) == len(set(ids))
    # libxml2 knows no elements younger than HTML 4
    assert [str(error) for error in parser.error_log if not re.search(r"Tag \w+ invalid", error.message)] == []


@pytest.mark.browser
def test_a_browser_shows_it_whole_and_quietly(page: str, look_at: Any) -> None:
    look_at(page)


def test_figures_are_those_of_the_files(page: str) -> None:
    text = text_of(page)
    assert "7,781 rows became 3,651 examples of 34 intents." in text
    for figure in (
        "1.7 % of the rows are rejected, most of them (110) for “malformed record”.",
        "18.5 % of the test examples have a text that occurs in training too.",
        "1 text stands under several intents, 0.5 % of the examples.",
        f"Too small to be learnt or measured: “{IMAGE}”.",
        "another population", "29 examples of validation and 37 of test", "96.1 %", "95.2 %", "1,700", "1,234",
        "In several splits: 41 texts", "Under several intents: 1 text, 18 examples", "5 more",
        "The other 19 intents", "14 more",
    ):  # fmt: skip
        assert figure in text, figure
    assert re.search(r"New intents: intent_07 \(44\)\..*Vanished intents: vanished & gone \(800\)\.", text)


def test_strings_of_the_data_stay_text(page: str) -> None:
    parsed = html.fromstring(page)
    assert not parsed.xpath("//script | //img")
    assert not [name for element in parsed.iter() for name in element.attrib if name.startswith("on")]
    text = text_of(page)
    assert min(text.count(SCRIPT), text.count(IMAGE)) > 5 and KOREAN in text and MATHS in text


def test_nothing_on_the_page_leaves_it(page: str) -> None:
    assert not re.findall(r"https?://", re.sub(r'xmlns(:xlink)?="[^"]*"', "", page))
    ids = set(html.fromstring(page).xpath("//@id"))
    references = re.findall(r'\bhref="(.*?)"|url\((.*?)\)', page)
    found = {(one or other) for one, other in references}
    assert len(found) > 10 and {where for where in found if where != "data:," and where[1:] not in ids} == set()
    assert not html.fromstring(page).xpath("//@src") and "@import" not in page


def test_headings_and_tables_can_be_followed_by_ear(page: str) -> None:
    parsed = html.fromstring(page)
    levels = [int(element.tag[1]) for element in parsed.xpath("//h1 | //h2 | //h3")]
    assert levels[0] == 1 and levels.count(1) == 1 and all(after - before <= 1 for before, after in pairwise(levels))
    assert all(element.get("scope") for element in parsed.xpath("//th"))
    assert len(parsed.xpath("//table/caption")) == len(parsed.xpath("//table"))
    assert len(parsed.xpath("//figure/figcaption")) == len(parsed.xpath("//figure")) == 6
    assert len(parsed.xpath("//svg[@role='img']/title")) == 6


def test_without_leaks_dialogs_languages_or_reference_the_page_says_so_or_nothing(profile: dict[str, Any]) -> None:
    for found in profile["splits"].values():
        found["languages"] = {"": found["examples"]}
    nothing = {"texts": 0, "examples": 0, "of_training": {"validation": 0, "test": 0}, "listed": []}
    bare = {**profile, "dialogs": 0, "turns_per_dialog": {}, "rejected": {}, "rejected_examples": {},
            "small_intents": []}  # fmt: skip
    page = render_profile(bare, {"several_splits": nothing, "several_intents": nothing}, None)
    text = text_of(page)
    assert "No text occurs in two splits" in text and "None is." in text
    assert not re.search(r"\b(None|null|nan|inf|Undefined)\b", text.replace("None is.", ""))
    assert not re.search("dialogs|language|reference|Rejected rows", text)


def test_other_tokenizers_leave_lengths_out(profile: dict[str, Any], leaks: dict[str, Any]) -> None:
    found = measure_drift({**profile, "tokenizer": "characters"}, profile, "old")
    text = text_of(render_profile(profile, leaks, found))
    assert "The datasets have different tokenizers" in text and "Lengths then and now" not in text


@pytest.mark.parametrize(
    ("index", "word"),
    [(0.0, "stable"), (0.1, "stable"), (0.11, "shifted"), (0.25, "shifted"), (0.26, "another population")],
)
def test_the_index_is_read_as_it_is_customary(index: float, word: str) -> None:
    assert verdict(index) == word


def test_the_page_is_the_same_each_time(
    profile: dict[str, Any], leaks: dict[str, Any], drift: dict[str, Any], page: str
) -> None:
    assert render_profile(profile, leaks, drift) == page


def test_half_a_surrogate_pair_can_be_written(profile: dict[str, Any], leaks: dict[str, Any]) -> None:
    leaks["several_intents"]["listed"][0]["text"] = "cut off \ud83d"
    assert "cut off ?" in render_profile(profile, leaks, None).encode().decode()


@pytest.mark.spark
def test_the_job_leaves_the_page_in_the_dataset_and_measures_the_drift(spark: SparkSession, tmp_path: Path) -> None:
    rows = [{"text": f"{word} {number}", "intent": word} for word in ("lost", "track") for number in range(40)]
    (tmp_path / "turns.json").write_text("\n".join(map(json.dumps, [*rows, {"text": SCRIPT}])))
    settings = DatasetConfig(path=f"{tmp_path}/data", min_count=1, files_per_split=1)
    corpus = CorpusConfig(path=(f"{tmp_path}/turns.json",))
    preprocess.run(spark, AppConfig(corpus=corpus, dataset=settings))
    page = (tmp_path / "data/profile.html").read_text()
    assert "81 rows became 80 examples of 2 intents." in text_of(page) and SCRIPT in text_of(page)
    assert not (tmp_path / "data/drift.json").exists()
    write_page(f"{tmp_path}/data")
    assert (tmp_path / "data/profile.html").read_text() == page

    def fail(uri: str) -> None:
        assert json.loads(Path(uri.removeprefix("file://"), "drift.json").read_text())["intents"]["index"] == 0
        raise OSError("no page")

    again = DatasetConfig(path=f"{tmp_path}/data", min_count=1, files_per_split=1, reference=f"{tmp_path}/data")
    with pytest.raises(OSError, match="no page"):
        build_dataset(spark, corpus, again, fail)
    assert (tmp_path / "data/profile.html").read_text() == page  # what stood there stands
