"""The evaluation page: says what the metrics hold, whatever the texts and labels contain, and stands alone."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from jobs.formats import percent, shorten
from jobs.matrix import confusion_matrix, matrix_order
from jobs.report import render_report

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(2)>'
KOREAN = "카드를 잃어버렸어요 🙏"
VOID = {"meta", "link", "br", "wbr", "col", "img"}
Element = tuple[str, dict[str, str | None], tuple[str, ...]]


class Page(HTMLParser):
    """The elements, with their ancestors, and the text of a page; fails where a tag closes what is not open."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> inside {self.open}"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))

    def attributes(self, name: str) -> Iterator[str]:
        return (str(attributes[name]) for _, attributes, _ in self.elements if name in attributes)


def intent_row(intent: str, f1: float | None, examples: int = 30) -> dict[str, Any]:
    return {"intent": intent, "examples": examples, "predicted": 28, "precision": f1, "recall": f1, "f1": f1}


@pytest.fixture
def metrics() -> dict[str, Any]:
    labels = ["oos", SCRIPT, IMAGE, KOREAN, *(f"intent_{index}" for index in range(147))]
    empty = {"confidence": None, "accuracy": None, "examples": 0}
    return {
        "accuracy": 0.912, "accuracy_interval": [0.905, 0.919], "macro_f1": 0.9034, "weighted_f1": 0.9107,
        "examples": 5500, "intents": 151, "in_scope_accuracy": 0.9581, "out_of_scope_recall": 0.6312,
        "out_of_scope": "oos", "expected_calibration_error": 0.0412,
        "per_intent": [intent_row(label, 0.99 - index / 200) for index, label in enumerate(labels)],
        "confusions": [
            {"intent": SCRIPT, "predicted": IMAGE, "examples": 12, "share": 0.213, "texts": [SCRIPT, IMAGE, "x" * 300]},
            {"intent": KOREAN, "predicted": SCRIPT, "examples": 7, "share": 0.1, "texts": []},
        ],
        "calibration": [empty] * 8 + [
            {"confidence": 0.85, "accuracy": 0.71, "examples": 1300},
            {"confidence": 0.97, "accuracy": 0.974, "examples": 4200},
        ],
        "slices": {
            "language": [{"value": IMAGE, "examples": 101, "accuracy": 0.877}], "length": [],
            "slice": [{"value": value, "examples": 7, "accuracy": 0.571} for value in (None, IMAGE)],
        },
        "slice_column": SCRIPT, "top_k_accuracy": {"1": 0.912, "3": 0.9713, "5": 0.9862},
        "latency": {"texts": 300, "median_milliseconds": 3.2871, "percentile_95_milliseconds": 12.341},
        "errors": [{"text": IMAGE, "intent": SCRIPT, "predicted": KOREAN, "probability": 0.99996}],
    }  # fmt: skip


@pytest.fixture
def history() -> list[dict[str, float]]:
    keys = ("epoch", "loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate",
            "examples_per_second", "seconds")  # fmt: skip
    rows = ((1, 2.5, 0.4, 2.1, 0.51, 1e-4, 5230.4, 41.2), (2, 1.5, 0.7, 1.1, 0.8, 3e-4, 5310.0, 40.1),
            (3, 0.5, 0.9, 1.3, 0.79, 3e-4, 5290.0, 40.3))  # fmt: skip
    return [dict(zip(keys, row, strict=True)) for row in rows]


@pytest.fixture
def lineage() -> dict[str, str]:
    return {"Model": "intents-7", "Dataset": IMAGE, SCRIPT: SCRIPT}


@pytest.fixture
def page(metrics: dict[str, Any], history: list[dict[str, float]], lineage: dict[str, str]) -> str:
    return render_report(metrics, history, lineage)


def nothing_out_of_scope(metrics: dict[str, Any]) -> dict[str, Any]:
    nulls = dict.fromkeys(("in_scope_accuracy", "out_of_scope_recall", "out_of_scope"))
    rows = [intent_row("yes", 0.8), intent_row("never", None, examples=0)]
    return {**metrics, **nulls, "per_intent": rows, "confusions": [], "slices": {}, "errors": []}


def test_tags_balance_and_ids_are_unique(page: str) -> None:
    ids = list(Page(page).attributes("id"))
    assert len(ids) > 50 and len(ids) == len(set(ids))


def test_figures_are_those_of_the_metrics(page: str) -> None:
    assert "right intent for 91.2 % of 5,500 test utterances (95 % interval 90.5 to 91.9)." in page
    text = Page(page).text
    figures = (
        "90.3 %", "91.1 %", "95.8 %", "63.1 %", "4.1 %", "21.3 %", "87.7 %", ">99.9 %", "4,200", "24.0 %",
        "97.1 %", "98.6 %", "3.29 ms", "within 12.3 ms", "(blank)",
    )  # fmt: skip
    for figure in figures:
        assert figure in text, figure
    assert "2.6 percentage points surer" not in text and "3.0 percentage points surer" in text


def test_learning_curves_and_their_figures(page: str) -> None:
    parsed = Page(page)
    assert "Validation loss is lowest in epoch 2, at 1.1000." in parsed.text
    assert "training 0.5000, validation 1.3000" in parsed.text and "3.00e-04" in parsed.text
    assert sum(attributes.get("class") == "plot" for _, attributes, _ in parsed.elements) == 3


def test_strings_of_the_data_stay_text(page: str) -> None:
    parsed = Page(page)
    assert not {"script", "img"} & {tag for tag, _, _ in parsed.elements}
    assert not [name for _, attributes, _ in parsed.elements for name in attributes if name.startswith("on")]
    assert parsed.text.count(SCRIPT) > 5 and parsed.text.count(IMAGE) > 5 and KOREAN in parsed.text


def test_nothing_on_the_page_leaves_it(page: str) -> None:
    assert not re.findall(r"https?://", re.sub(r'xmlns(:xlink)?="[^"]*"', "", page))
    parsed = Page(page)
    ids = set(parsed.attributes("id"))
    references = [*parsed.attributes("href"), *parsed.attributes("xlink:href"), *re.findall(r"url\((.*?)\)", page)]
    assert len(references) > 10
    assert {where for where in references if where != "data:," and where.removeprefix("#") not in ids} == set()
    assert not list(parsed.attributes("src")) and "@import" not in page


@pytest.mark.browser
def test_a_browser_shows_it_whole_and_quietly(page: str, look_at: Any) -> None:
    look_at(page)


def test_missing_values_are_left_out_or_dashed(metrics: dict[str, Any], history: list[dict[str, float]]) -> None:
    history[0]["validation_loss"] = float("nan")
    del history[1]["learning_rate"]
    page = render_report(nothing_out_of_scope(metrics), history, {})
    assert not re.search(r"\b(None|null|nan|inf|Undefined)\b", page)
    assert "scope" not in Page(page).text.lower()
    assert re.search(r"never.*?–.*?–", Page(page).text)


def test_a_run_without_history_has_no_curves(metrics: dict[str, Any]) -> None:
    text = Page(render_report(metrics, [], {"Model": "m"})).text
    assert "How it learned" not in text and "Does it know when it is right?" in text


def test_a_loss_that_is_no_number_is_tabled_but_not_drawn(metrics: dict[str, Any]) -> None:
    text = Page(render_report(metrics, [{"epoch": 1, "loss": float("nan"), "accuracy": 0.5}], {})).text
    assert "1 epoch." in text and "Accuracy by epoch" in text and "Loss by epoch" not in text


def test_empty_calibration_has_no_diagram(metrics: dict[str, Any]) -> None:
    empty = {**metrics, "calibration": [{"confidence": None, "accuracy": None, "examples": 0}] * 10}
    assert "Does it know when it is right?" not in Page(render_report(empty, [], {})).text


def test_intents_come_weakest_first_and_fold_after_fifteen(page: str) -> None:
    rows = re.findall(r'<th scope="row"><bdi>intent_<wbr>(\d+)</bdi>', page)
    assert rows == [str(index) for index in reversed(range(147))]
    assert page.index("intent_<wbr>132<") < page.index("The other 136 intents") < page.index("intent_<wbr>131<")


def test_headings_and_tables_can_be_followed_by_ear(page: str) -> None:
    parsed = Page(page)
    levels = [int(tag[1]) for tag, _, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all("scope" in attributes for tag, attributes, _ in parsed.elements if tag == "th")
    tags = [tag for tag, _, _ in parsed.elements]
    assert tags.count("caption") == tags.count("table") and tags.count("figcaption") == tags.count("figure")
    drawings = [attributes for tag, attributes, _ in parsed.elements if tag == "svg"]
    assert len(drawings) == 4
    assert {drawing["aria-labelledby"] for drawing in drawings} <= set(parsed.attributes("id"))


def test_the_page_is_the_same_each_time(metrics: dict[str, Any], history: list[dict[str, float]], page: str) -> None:
    again = render_report(metrics, history, {"Model": "intents-7", "Dataset": IMAGE, SCRIPT: SCRIPT})
    assert again == page


def test_half_a_surrogate_pair_can_be_written(metrics: dict[str, Any]) -> None:
    metrics["errors"][0]["text"] = "cut off \ud83d"
    assert "cut off ?" in render_report(metrics, [], {}).encode().decode()


def test_matrix_sets_confused_intents_side_by_side() -> None:
    pairs = [("a", "b"), ("c", "d"), ("b", "e"), ("f", "a")]
    assert matrix_order([{"intent": one, "predicted": other} for one, other in pairs]) == list("afbecd")
    many = [{"intent": f"i{index}", "predicted": f"p{index}"} for index in range(30)]
    assert len(matrix_order(many)) == 24


def test_matrix_counts(metrics: dict[str, Any]) -> None:
    matrix = confusion_matrix(metrics)
    assert matrix is not None and matrix["strongest"] == 0.213
    at = {(matrix["labels"][cell["row"]], matrix["labels"][cell["column"]]): cell for cell in matrix["cells"]}
    assert at[SCRIPT, IMAGE]["examples"] == 12 and at[SCRIPT, SCRIPT]["examples"] == round(30 * 0.985)
    assert confusion_matrix({**metrics, "confusions": []}) is None


@pytest.mark.parametrize(
    ("share", "text"),
    [(1, "100.0 %"), (0.99999, ">99.9 %"), (0.00001, "<0.1 %"), (0, "0.0 %"), (None, "–"), (float("nan"), "–")],
)
def test_shares_are_never_rounded_to_all_or_nothing(share: float | None, text: str) -> None:
    assert percent(share) == text


def test_labels_are_cut_to_a_width_on_screen() -> None:
    assert shorten("refund", 6) == "refund"
    assert shorten("refunds", 6) == "refun…"
    assert shorten("카드를잃어버렸", 6) == "카드…"
