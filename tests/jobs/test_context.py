"""A corpus where only the turn before tells what "yes" means, from preprocessing to scoring and serving."""

import dataclasses
import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs import pipeline, score
from jobs.config import AppConfig, EvaluationConfig, ScoringConfig
from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.errors import UserError
from training.artifact import load_model
from training.config import ModelConfig, TrainingConfig

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow, pytest.mark.horovod]

ASKED = {"shall I cancel it": "cancel", "do you want to pay now": "pay", "may I call you": "call"}


def write_dialogs(path: Path) -> None:
    """Dialogs of a greeting, a question of the agent's and the answer, which alone has an intent."""
    with path.open("w") as file:
        for number in range(240):
            question, intent = list(ASKED.items())[number % 3]
            answer = ["yes", "sure please", "yes of course"][number // 3 % 3]
            spoken = [("agent", "hello", None), ("agent", question, None), ("customer", answer, intent)]
            for turn, (speaker, text, label) in enumerate(spoken):
                row = {"chat": f"c{number}", "number": turn, "who": speaker, "text": text, "intent": label}
                file.write(json.dumps(row) + "\n")


@pytest.fixture(scope="module")
def config(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> AppConfig:
    """Configuration of a finished pipeline."""
    base = tmp_path_factory.mktemp("context")
    write_dialogs(base / "corpus.json")
    config = AppConfig(
        corpus=CorpusConfig(path=(str(base / "corpus.json"),), dialog_id="chat", turn="number", speaker="who"),
        dataset=DatasetConfig(path=str(base / "dataset"), context_turns=1, files_per_split=2, validation_fraction=0.2),
        model=ModelConfig(embedding_size=16, units=16),
        training=TrainingConfig(path=str(base / "run"), epochs=6, batch_size=16, learning_rate=0.02),
        evaluation=EvaluationConfig(path=str(base / "report")),
        scoring=ScoringConfig(
            input=(str(base / "corpus.json"),), format="json", output=str(base / "scores"), keep=("chat", "number")
        ),
    )
    pipeline.run(spark, config)
    return config


def test_answers_are_understood_by_the_question_before(config: AppConfig) -> None:
    metrics = json.loads((Path(config.evaluation.path) / "metrics.json").read_text())
    assert metrics["accuracy"] == 1.0 and metrics["examples"] > 10


def test_the_model_takes_the_turns_before(config: AppConfig) -> None:
    predict = load_model(f"{config.training.path}/model")
    dialogs = [[("user", "hi"), ("agent", "hello"), ("agent", question)] for question in ASKED]
    said = predict(["yes"] * 3, dialogs)
    assert [prediction.intents[0] for prediction in said] == list(ASKED.values())
    assert len({tuple(prediction.probabilities) for prediction in predict(["yes", "yes"])}) == 1


def test_a_table_of_dialogs_is_scored_turn_by_turn(config: AppConfig, spark: SparkSession) -> None:
    assert score.run(spark, config)["rows"] == 720
    scored = spark.read.parquet(f"{config.scoring.output}/predictions")
    assert scored.columns[:3] == ["chat", "number", "intent"]
    answers = scored.where("number = 2").select("chat", "intent").collect()
    assert {(int(row.chat[1:]) % 3, row.intent) for row in answers} == set(enumerate(ASKED.values()))


def test_a_row_that_has_no_place_in_its_dialog_is_apart_with_its_reason(
    config: AppConfig, spark: SparkSession, tmp_path: Path
) -> None:
    """Times tell the order, and against that of the texts; what is neither number nor time is not guessed."""
    said = [("agent", "shall I cancel it", "2024-03-01T10:00:00Z"), ("customer", "yes", "2024-03-01T10:00:00.5Z"),
            ("agent", "may I call you", "10:00"), ("agent", "do you want to pay now", "")]  # fmt: skip
    rows = [{"chat": "c", "number": time, "who": who, "text": text} for who, text, time in said]
    (tmp_path / "table.json").write_text("\n".join(map(json.dumps, [*rows, {"text": "yes"}])))
    scoring = dataclasses.replace(config.scoring, input=(f"{tmp_path}/table.json",), output=f"{tmp_path}/scores",
                                  keep=("text", "chat"))  # fmt: skip
    done = score.run(spark, dataclasses.replace(config, scoring=scoring))
    assert (done["rows"], done["rejected"]) == (3, {"no turn": 2})
    scored = spark.read.parquet(f"{tmp_path}/scores/predictions").where("chat is not null and text = 'yes'")
    assert [row.intent for row in scored.collect()] == ["cancel"]


def test_a_table_without_dialogs_is_refused(config: AppConfig, spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("yes\n")
    scoring = ScoringConfig(input=(str(tmp_path / "texts.txt"),), format="text", output=str(tmp_path / "scores"))
    with pytest.raises(UserError, match="reads 1 turns before each text, but the table has no column chat"):
        score.run(spark, dataclasses.replace(config, scoring=scoring))
