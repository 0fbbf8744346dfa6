"""Personal data planted in every place of a corpus is in no place of what the jobs write."""

import gzip
import hashlib
import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import tomli_w
from pyspark.sql import SparkSession

from jobs import evaluate, preprocess, score
from jobs.config import AppConfig, EvaluationConfig, ScoringConfig, describe
from preprocessing.config import CorpusConfig, DatasetConfig, WordVectorsConfig
from preprocessing.errors import UserError
from training.config import ModelConfig, TrainingConfig
from training.registry import RegistryConfig

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow]

PLANTED = "Ann.Lee@mail.example 010-1234-5678 AB-7654321 https://shop.example/track?token=s3cret"
SHOWN = "<email> <number> <number> <url>"
ROOT = Path(__file__).parents[2]
JOBS = """
import sys
from dataclasses import replace
from jobs import pipeline, preprocess, score, word_vectors
from jobs.cli import run_job

def run(spark, config):
    earlier = replace(config.dataset, path=config.dataset.reference, reference="")
    preprocess.run(spark, replace(config, dataset=earlier))
    for job in (word_vectors, pipeline, score):
        job.run(spark, config)

sys.exit(run_job(run, pipeline.plan))
"""
SECRETS = ("ann.lee", "mail.example", "1234-5678", "5678", "7654321", "s3cret")


def corpus_lines() -> list[str]:
    """Good turns, an agent's, rejected ones and broken records, each with what nobody may read."""
    rows: list[dict[str, Any]] = []
    for number in range(40):
        word, intent = [("refund", "refund"), ("hello", "greeting")][number % 2]
        rows.append({"d": f"{PLANTED}/{number}", "speaker": "user", "text": f"{word} {PLANTED} x{number}",
                     "intent": intent, "from": PLANTED, "n": number})  # fmt: skip
        rows.append({"d": f"{PLANTED}/{number}", "speaker": "agent", "text": PLANTED})
    rows.append({"d": PLANTED, "speaker": "user", "text": PLANTED})  # no intent
    rows.append({"d": "b2", "speaker": "user", "text": "hello", "intent": f"{PLANTED}\n"})  # not a label
    rows.append({"d": "b3", "speaker": "user", "text": "hello", "intent": PLANTED * 5})
    broken = [
        '{"text": "ann\\u002elee@mail\\u002eexample 010-1234-5678"',
        f'{{"text": "{PLANTED}", "intent": "greeting',
    ]
    return [*[json.dumps(row) for row in rows], *broken, f'{{"text": ["{PLANTED}"], "d": {{"x": "{PLANTED}"}}']


def masked_model(make_model: Any) -> None:
    """A run whose model learnt from masked text."""
    file = Path(make_model("run", {"refund": "refund", "hello": "greeting"}).removeprefix("file://")) / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "mask": True}))


def written(directory: Path) -> dict[str, str]:
    """What is in every file below a directory, Parquet and gzip decoded; by path."""
    files = [file for file in directory.rglob("*") if file.is_file() and file.suffix != ".crc"]
    return {str(file): content(file) for file in files}


def content(file: Path) -> str:
    if file.suffix == ".parquet":
        return str(pq.read_table(file).to_pylist())
    data = file.read_bytes()
    return (gzip.decompress(data) if file.suffix == ".gz" else data).decode(errors="replace")


def name_of(dialog: str) -> str:
    """What a masked dataset calls a dialog, as docs/text.md has it."""
    return hashlib.sha256(f"parley{dialog}".encode()).hexdigest()[:32]


def leaks(texts: dict[str, str]) -> list[tuple[str, str]]:
    return [(place, secret) for place, text in texts.items() for secret in SECRETS if secret in text.lower()]


@pytest.fixture
def config(tmp_path: Path) -> AppConfig:
    (tmp_path / "corpus.json").write_text("\n".join(corpus_lines()))
    return AppConfig(
        corpus=CorpusConfig(path=(str(tmp_path / "corpus.json"),), dialog_id="d", speaker="speaker",
            slice="from"),
        dataset=DatasetConfig(
            path=str(tmp_path / "dataset"), mask=True, min_count=1, files_per_split=2, max_rejected_fraction=0.5,
            validation_fraction=0.2, test_fraction=0.2,
        ),
        training=TrainingConfig(path=str(tmp_path / "run")),
        evaluation=EvaluationConfig(path=str(tmp_path / "report")),
        scoring=ScoringConfig(input=(str(tmp_path / "corpus.json"),), format="json", keep=("n", "text"),
            output=str(tmp_path / "scores")),
    )  # fmt: skip


def test_no_output_of_any_job_holds_what_was_planted(
    spark: SparkSession, tmp_path: Path, config: AppConfig, make_model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    masked_model(make_model)
    with caplog.at_level(logging.DEBUG, logger="jobs"), caplog.at_level(logging.DEBUG, logger="preprocessing"):
        manifest = preprocess.run(spark, config)
        evaluate.run(spark, config)
        scored = score.run(spark, config)
    assert manifest.mask and manifest.rejected == {"malformed record": 3, "not a label": 2, "no intent": 1}
    assert scored["rejected"] == {"malformed record": 3}
    files = written(tmp_path / "dataset") | written(tmp_path / "report") | written(tmp_path / "scores")
    assert leaks(files | {"the log": caplog.text}) == []
    assert {Path(name).suffix for name in files} >= {".parquet", ".json", ".txt", ".html"}
    for part in ("dataset/train", "dataset/rejected", "report/predictions", "scores/predictions"):
        texts = [text for name, text in files.items() if f"/{part}/" in name]
        assert SHOWN in "".join(texts), part
    assert {"<email>", "<number>", "<url>"} < set((tmp_path / "dataset/vocabulary.txt").read_text().split())


@pytest.mark.horovod
def test_nor_does_a_trained_run_or_the_console(tmp_path: Path, config: AppConfig) -> None:
    config = replace(
        config,
        dataset=replace(config.dataset, reference=str(tmp_path / "earlier")),
        word_vectors=WordVectorsConfig(path=str(tmp_path / "vectors"), size=8, min_count=1),
        model=ModelConfig(units=8, embedding_size=8, word_vectors=str(tmp_path / "vectors")),
        training=replace(config.training, processes=1, epochs=1),
        registry=RegistryConfig(path=str(tmp_path / "registry")),
    )
    (tmp_path / "all.toml").write_text(tomli_w.dumps(describe(config)))
    command = [sys.executable, "-c", JOBS, "--config", str(tmp_path / "all.toml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "' -> " in done.stderr and "with 1 processes" in done.stderr  # samples, and the ranks' own lines
    (tmp_path / "corpus.json").unlink()
    files = written(tmp_path)
    assert leaks(files | {"stdout": done.stdout, "stderr": done.stderr}) == []
    expected = (
        "dataset/drift.json",
        "vectors/vectors.txt.gz",
        "run/model/manifest.json",
        "run/history.csv",
    )
    assert {str(tmp_path / name) for name in expected} <= {*files}
    assert {name.removeprefix(f"{tmp_path}/").partition("/")[0] for name in files} == {
        "all.toml", "dataset", "earlier", "vectors", "run", "report", "registry", "scores"
    }  # fmt: skip


def test_a_dataset_that_stops_the_job_leaves_masked_rows_to_look_at(
    spark: SparkSession, tmp_path: Path, config: AppConfig
) -> None:
    dataset = DatasetConfig(path=str(tmp_path / "dataset"), mask=True, max_rejected_fraction=0.0)
    with pytest.raises(UserError, match=r"look at .*dataset\.rejected"):
        preprocess.run(spark, AppConfig(corpus=config.corpus, dataset=dataset))
    left = written(tmp_path / "dataset.rejected")
    assert "a record of" in str(left) and "a text of" in str(left) and leaks(left) == []


def test_without_the_mask_all_is_as_it_was_said(spark: SparkSession, tmp_path: Path, config: AppConfig) -> None:
    """So that the tests above prove something; and what the model sees of it is the same."""
    plain = DatasetConfig(**{**vars(config.dataset), "mask": False, "path": str(tmp_path / "plain")})
    preprocess.run(spark, config)
    preprocess.run(spark, AppConfig(corpus=config.corpus, dataset=plain))
    assert {secret for _, secret in leaks(written(tmp_path / "plain"))} == set(SECRETS)
    assert (tmp_path / "plain/vocabulary.txt").read_text() == (tmp_path / "dataset/vocabulary.txt").read_text()
    for split in ("train", "validation", "test"):
        one, other = (
            sorted((row["input_ids"], row["dialog_id"]) for row in pq.read_table(tmp_path / name / split).to_pylist())
            for name in ("plain", "dataset")
        )
        assert sorted((ids, name_of(dialog)) for ids, dialog in one) == other  # each dialog in the same split


def test_a_text_inside_a_record_is_masked_where_it_stands(spark: SparkSession, make_model: Any, tmp_path: Path) -> None:
    masked_model(make_model)
    model = str(tmp_path / "run" / "model")
    frame = spark.sql(f"SELECT named_struct('Text', 'hello {PLANTED}', 'n', 1) say, 7 id, map('text', 'hello') m")
    row = score.score(frame, model, text="say.text", keep=["say", "id"]).first()
    assert row.say.asDict() == {"text": f"hello {SHOWN}", "n": 1}
    upper = frame.selectExpr("say.Text TEXT")
    assert score.score(upper, model, text="text").first().TEXT == f"hello {SHOWN}"
    with pytest.raises(UserError, match=r"scoring.keep names 'm', which cannot be masked with the text in it"):
        score.score(frame, model, text="m.text", keep=["m"])


@pytest.mark.parametrize("named", [["id", "context"], ["Context"], []])
def test_turns_before_the_text_are_not_kept_as_they_were_said(
    spark: SparkSession, make_model: Any, tmp_path: Path, named: list[str]
) -> None:
    """Whether the table's own column is asked for by name, or all of its columns are."""
    masked_model(make_model)
    frame = spark.sql(f"SELECT 7 id, 'hello' text, array('{PLANTED}') context, array('user') speakers")
    frame.write.json(str(tmp_path / "table"))
    model = str(tmp_path / "run" / "model")
    with pytest.raises(UserError, match=r"scoring.keep has '[cC]ontext', the turns before each text as they were said"):
        score.score(frame, model, keep=named)
    scoring = ScoringConfig(
        input=(str(tmp_path / "table"),), format="json", keep=tuple(named), output=str(tmp_path / "scores")
    )
    config = AppConfig(training=TrainingConfig(path=str(tmp_path / "run")), scoring=scoring)
    with pytest.raises(UserError, match=r"scoring\.keep has '[cC]ontext'"):
        score.run(spark, config)
    assert not (tmp_path / "scores").exists()
    assert score.score(frame, model, keep=["id", "text"]).first().intent == "greeting"
    other = frame.selectExpr("id", "text", "'web' context")  # where it was said
    assert score.score(other, model).first().context == "web"
