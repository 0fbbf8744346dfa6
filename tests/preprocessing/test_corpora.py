"""Public corpora as their publishers lay them out."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.errors import UserError
from preprocessing.pipeline import checked
from preprocessing.readers import has_own_splits, read_turns
from preprocessing.splits import Splitting
from preprocessing.transforms import with_clean_labels

pytestmark = pytest.mark.spark

KEYS = ("dialog_id", "turn", "speaker", "split", "language", "text", "intent", "malformed")


def turns(spark: SparkSession, form: str, path: object) -> list[tuple]:
    """All columns of all rows, sorted."""
    frame = read_turns(spark, CorpusConfig(path=(str(path),), format=form))
    return sorted((tuple(row[key] for key in KEYS) for row in frame.collect()), key=str)


def frame(service: str, intent: str | None) -> dict[str, Any]:
    """As published: what the system says has no state."""
    state = {"state": {"active_intent": intent, "requested_slots": []}} if intent else {"actions": []}
    return {"service": service, "slots": [], **state}


# what changed names the turn, be it the first frame or the second; of two that changed, the one that is not NONE
DIALOGUE = {
    "dialogue_id": "1_00000",
    "services": ["Food_1", "Hotels_1"],
    "turns": [
        {"speaker": "USER", "utterance": "a table", "frames": [frame("Food_1", "FindFood")]},
        {"speaker": "SYSTEM", "utterance": "when?", "frames": [frame("Food_1", None)]},
        {"speaker": "USER", "utterance": "and a room",
         "frames": [frame("Food_1", "FindFood"), frame("Hotels_1", "FindHotel")]},
        {"speaker": "SYSTEM", "utterance": "done", "frames": [frame("Hotels_1", None)]},
        {"speaker": "USER", "utterance": "book the table",
         "frames": [frame("Hotels_1", "NONE"), frame("Food_1", "BookFood")]},
        {"speaker": "SYSTEM", "utterance": "booked", "frames": []},
        {"speaker": "USER", "utterance": "yes", "frames": [frame("Food_1", "BookFood")]},
        {"speaker": "USER", "utterance": "no room",
         "frames": [frame("Food_1", "BookFood"), frame("Hotels_1", "NONE")]},
        {"speaker": "USER", "utterance": "thanks", "frames": [frame("Food_1", "NONE")]},
    ],
}  # fmt: skip
INTENTS = ["FindFood", None, "FindHotel", None, "BookFood", None, "BookFood", "NONE", "NONE"]


def sgd_turns(split: str) -> list[tuple]:
    said = [(turn["speaker"], turn["utterance"]) for turn in DIALOGUE["turns"]]
    return [
        (f"{split}/1_00000", number, speaker, None, "en", text, intent, None)
        for number, ((speaker, text), intent) in enumerate(zip(said, INTENTS, strict=True))
    ]


def test_schema_guided_dialogs_are_read_as_published(spark: SparkSession, tmp_path: Path) -> None:
    for split in ("dev", "train"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "dialogues_001.json").write_text(json.dumps([DIALOGUE], indent=2))
        (tmp_path / split / "schema.json").write_text('[{"service_name": "Food_1"}]')
    found = turns(spark, "sgd", tmp_path / "*/*.json")
    assert found == [*sgd_turns("dev"), *sgd_turns("train")]


def test_schema_guided_dialogs_are_read_flattened(spark: SparkSession, tmp_path: Path) -> None:
    records = [
        {"split": "test", "dialogue_id": "1_00000", "turn_index": number, "speaker": turn["speaker"],
         "utterance": turn["utterance"], "service": "Food_1", "active_intent": intent, "frames": []}
        for number, (turn, intent) in enumerate(zip(DIALOGUE["turns"], INTENTS, strict=True))
    ]  # fmt: skip
    content = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "turns.jsonl.gz").write_bytes(gzip.compress(content.encode()))
    assert turns(spark, "sgd", tmp_path / "*.jsonl*") == sgd_turns("test")


def test_schema_guided_dialogs_without_intents_have_none(spark: SparkSession, tmp_path: Path) -> None:
    """As in `test_unlabelled`: what the user says is there, and is rejected later as "no intent"."""
    record = {"split": "test", "dialogue_id": "1_00000", "turn_index": 0, "speaker": "USER", "utterance": "a table"}
    (tmp_path / "turns.jsonl").write_text(json.dumps({**record, "active_intent": None}) + "\n" + json.dumps(record))
    row = ("test/1_00000", 0, "USER", None, "en", "a table", None, None)
    assert turns(spark, "sgd", tmp_path / "turns.jsonl") == [row, row]


def test_a_glob_of_dialogs_that_matches_nothing_is_named(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x.*matches no file: correct it"):
        turns(spark, "sgd", tmp_path / "x*.json")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_clinc150_is_read(spark: SparkSession, tmp_path: Path, suffix: str) -> None:
    lists = {
        "val": [["hello", "greeting"]], "train": [["hi there", "greeting"], ["what's my \"limit\"", "credit_limit"]],
        "test": [["bye", "goodbye"]], "oos_val": [["a", "oos"]], "oos_train": [], "oos_test": [["b", "oos"]],
    }  # fmt: skip
    content = json.dumps(lists, indent=1).encode()
    file = tmp_path / f"data_full.json{suffix}"
    file.write_bytes(gzip.compress(content) if suffix else content)
    assert [row[3:7] for row in turns(spark, "clinc150", file)] == [
        ("test", "en", "b", "oos"),
        ("test", "en", "bye", "goodbye"),
        ("train", "en", "hi there", "greeting"),
        ("train", "en", 'what\'s my "limit"', "credit_limit"),
        ("val", "en", "a", "oos"),
        ("val", "en", "hello", "greeting"),
    ]


def test_3i4k_is_read(spark: SparkSession, tmp_path: Path) -> None:
    train = "3\t불 좀 켜 줘\r\n0\t탭이\t둘\r\n7\t모르는 분류\r\n없음\t분류 없음\r\n6\r\n"
    (tmp_path / "fci_train_val.txt").write_bytes(train.encode())
    (tmp_path / "fci_test.txt.gz").write_bytes(gzip.compress("2\t몇 시야\r\n".encode()))
    assert [row[3:7] for row in turns(spark, "3i4k", tmp_path / "fci_t*")] == [
        ("test", "ko", "몇 시야", "question"),
        ("train", "ko", "모르는 분류", None),
        ("train", "ko", "분류 없음", None),
        ("train", "ko", "불 좀 켜 줘", "command"),
        ("train", "ko", "탭이\t둘", "fragment"),
        ("train", "ko", None, "intonation-dependent utterance"),
    ]


def test_3i4k_leaves_out_the_file_that_holds_the_two_others(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Read with them, it would put the test split into training."""
    train, test = ("3\t불 좀 켜 줘\r\n", "2\t몇 시야\r\n")
    for name, content in (("fci.txt.gz", train + test), ("fci_train_val.txt.gz", train), ("fci_test.txt.gz", test)):
        (tmp_path / name).write_bytes(gzip.compress(content.encode()))
    assert [row[3:7] for row in turns(spark, "3i4k", tmp_path / "fci*")] == [
        ("test", "ko", "몇 시야", "question"), ("train", "ko", "불 좀 켜 줘", "command")
    ]  # fmt: skip
    assert caplog.messages == [
        "fci.txt.gz is left out: it holds the rows of fci_test.txt.gz and fci_train_val.txt.gz again"
    ]
    assert [row[3:6] for row in turns(spark, "3i4k", tmp_path / "fci.txt.gz")] == [
        ("train", "ko", "몇 시야"), ("train", "ko", "불 좀 켜 줘")
    ]  # fmt: skip


def test_versions_of_clinc150_are_not_read_together(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("data_full.json", "data_oos_plus.json.gz", "data_small.json", "domains.json"):
        content = json.dumps({"train": [["hi", "greeting"]]}).encode()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(UserError) as error:
        turns(spark, "clinc150", tmp_path)
    assert str(error.value) == (
        f"corpus.path ['file://{tmp_path}'] has 3 versions of CLINC150, data_full.json, data_oos_plus.json.gz, "
        "data_small.json, which share their utterances: name one of them, as data_full.json"
    )
    assert [row[3:7] for row in turns(spark, "clinc150", tmp_path / "data_f*")] == [("train", "en", "hi", "greeting")]


def flat_dialog(split: str, intents: list[str | None]) -> list[dict[str, Any]]:
    """Turns as in the flattened corpus: of user and system in turn, the user's with the intent in force."""
    return [
        {"split": split, "dialogue_id": "1_00000", "turn_index": number, "speaker": ("USER", "SYSTEM")[number % 2],
         "utterance": f"{split} {number}", "service": "Food_1", "active_intent": intent, "frames": []}
        for number, intent in enumerate(intents)
    ]  # fmt: skip


def test_flattened_dialogs_of_two_splits_with_the_same_id_stay_apart_and_in_order(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Through to the examples: the intent in force, NONE a class, a null one of the system context, turn 10 after 9."""
    intents = ["FindFood", None, "FindFood", None, "BookFood", None, "BookFood", None, "BookFood", None, "NONE", None]
    for split in ("dev", "train"):
        (tmp_path / split).mkdir()
        records = flat_dialog(split, [*intents, "FindFood"])
        (tmp_path / split / "turns.jsonl").write_text("".join(json.dumps(turn) + "\n" for turn in reversed(records)))
    read = read_turns(spark, CorpusConfig(path=(f"{tmp_path}/*/*.jsonl",), format="sgd"))
    config = DatasetConfig(context_turns=2, max_tokens=24)
    rows = (
        checked(with_clean_labels(read), Splitting("hash", "", 0.0, 0.0), config).orderBy("dialog_id", "turn").collect()
    )
    for split, found in (("dev", rows[:13]), ("train", rows[13:])):
        assert [row.turn for row in found] == list(range(13))
        assert {row.dialog_id for row in found} == {f"{split}/1_00000"}
        assert [row.intent for row in found] == [*intents, "FindFood"]
        assert [row.reason for row in found] == [None, "context"] * 6 + [None]
        said = ["", "", *[f"{split} {number}" for number in range(12)]]
        assert [row.context for row in found] == [said[turn : turn + 2] for turn in range(13)]


def test_the_corpora_that_bring_their_own_splits() -> None:
    own = [form for form in ("json", "clinc150", "3i4k", "sgd") if has_own_splits(CorpusConfig(format=form))]
    assert own == ["clinc150", "3i4k"]
    assert has_own_splits(CorpusConfig(split="part"))
