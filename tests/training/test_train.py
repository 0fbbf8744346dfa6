"""Real runs: two Horovod processes on Spark, one process, a killed process."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import cloudpickle
import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from sklearn.metrics import accuracy_score, log_loss

from preprocessing import storage
from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.manifest import read_manifest
from preprocessing.pipeline import build_dataset
from preprocessing.schema import SPLITS
from training.artifact import load_model
from training.attempt import TrainingFailed
from training.checkpoint import read_checkpoint, read_history
from training.config import ModelConfig, TrainingConfig
from training.launch import train
from training.schedule import RankSchedule, epoch_steps
from training.worker import TrainJob, train_worker

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow, pytest.mark.horovod]

MODEL = ModelConfig(embedding_size=8, units=8, dropout=0.2)
TRAINING = TrainingConfig(
    epochs=3, batch_size=7, learning_rate=0.01, warmup_epochs=1, decay="cosine", word_dropout=0.05,
    word_swap=0.05, class_weights="balanced",
)  # fmt: skip


@pytest.fixture(scope="module")
def two_processes(spark: SparkSession, dataset: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """URI of a run of two processes."""
    run = str(tmp_path_factory.mktemp("two") / "run")
    train(spark, dataset, MODEL, dataclasses.replace(TRAINING, path=run, processes=2, trace_steps=5))
    return storage.absolute(run)


def job_for(dataset: str, run: Path, training: TrainingConfig = TRAINING, model: ModelConfig = MODEL) -> TrainJob:
    return TrainJob(dataset, run.as_uri(), read_manifest(dataset).fingerprint, model, training, 1, {})


def start(job: TrainJob, file: Path, **environment: str) -> subprocess.Popen:
    """The one rank of `job` in a process of its own: TensorFlow's threads are set once a process."""
    file.write_bytes(cloudpickle.dumps(job))
    program = (
        "import pickle, sys\n"
        "from training.worker import train_worker\n"
        "train_worker(pickle.load(open(sys.argv[1], 'rb')))\n"
    )
    words = [sys.executable, "-c", program, str(file)]
    return subprocess.Popen(words, stderr=subprocess.DEVNULL, env={**os.environ, **environment})


def finish(job: TrainJob, file: Path) -> None:
    assert start(job, file).wait() == 0, storage.read_text(f"{job.run}/errors/rank-0.json")


def assert_same_weights(one: str, other: str, tolerance: float) -> None:
    pairs = zip(read_checkpoint(one).weights, read_checkpoint(other).weights, strict=True)
    for first, second in pairs:
        np.testing.assert_allclose(first, second, rtol=0, atol=tolerance)


def test_two_processes_and_one_give_the_same_weights(two_processes: str, dataset: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    finish(job_for(dataset, run), tmp_path / "job")
    assert_same_weights(two_processes, run.as_uri(), 1e-5)
    for one, two in zip(read_history(run.as_uri()), read_history(two_processes), strict=True):
        for name in ("loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate"):
            assert one[name] == pytest.approx(two[name], abs=1e-5), name


def test_a_process_that_has_no_examples_changes_nothing(spark: SparkSession, tmp_path: Path) -> None:
    rows = [{"text": text, "intent": text[:3], "split": split} for split in SPLITS for text in ("yes please", "no, no")]
    (tmp_path / "corpus").write_text("\n".join(map(json.dumps, rows)))
    corpus = CorpusConfig(path=(str(tmp_path / "corpus"),), dialog_id="", split="split")
    few = (tmp_path / "dataset").as_uri()
    build_dataset(spark, corpus, DatasetConfig(path=few, max_tokens=4, min_count=1, files_per_split=1))
    two = dataclasses.replace(TRAINING, path=str(tmp_path / "two"), processes=2)
    train(spark, few, MODEL, two)
    finish(job_for(few, tmp_path / "one"), tmp_path / "job")
    assert_same_weights((tmp_path / "two").as_uri(), (tmp_path / "one").as_uri(), 1e-5)
    assert read_history((tmp_path / "two").as_uri())[-1]["validation_accuracy"] in (0.5, 1.0)


def test_some_steps_leave_a_rank_without_examples(dataset: str) -> None:
    """So that the runs above prove that it may be so."""
    files = read_manifest(dataset).splits["train"]
    schedules = [RankSchedule(files, rank, 2, TRAINING.seed) for rank in (0, 1)]
    steps = epoch_steps(files, TRAINING.batch_size, TRAINING.seed, 0)
    assert any(len(one.rows_of(step, one.epoch_rows(0))) == 0 for one in schedules for step in steps)


def test_a_run_leaves_what_the_design_says(two_processes: str) -> None:
    files = storage.files_below(two_processes)
    assert {name.split("/")[0] for name in files} == {
        "checkpoints", "config.toml", "history.csv", "manifest.json", "model", "tensorboard", "traces",
    }  # fmt: skip
    assert [row["epoch"] for row in read_history(two_processes)] == [1, 2, 3]
    model = json.loads(storage.read_text(f"{two_processes}/model/manifest.json"))
    assert sorted(model["files"]) == sorted(
        name.removeprefix("model/")
        for name in files
        if name.startswith("model/") and not name.endswith("manifest.json")
    )


def test_what_two_processes_say_of_validation_is_what_scikit_learn_does(two_processes: str, dataset: str) -> None:
    import keras

    rows = pq.read_table(f"{dataset.removeprefix('file://')}/validation", columns=["input_ids", "label_id"])
    ids, labels = np.array(rows["input_ids"].to_pylist(), np.int32), rows["label_id"].to_numpy()
    model = keras.models.load_model(f"{two_processes.removeprefix('file://')}/model/model.keras")
    probabilities = model(ids).numpy()
    best = max(read_history(two_processes), key=lambda row: row["validation_accuracy"])
    assert best["validation_accuracy"] == pytest.approx(accuracy_score(labels, probabilities.argmax(1)), abs=1e-6)
    exact = probabilities.astype(np.float64) / probabilities.sum(1, dtype=np.float64, keepdims=True)
    expected = log_loss(labels, exact, labels=range(exact.shape[1]))
    assert best["validation_loss"] == pytest.approx(expected, abs=1e-6)


def profile_of(run: str) -> bytes:
    """TensorFlow's profile of the traced steps."""
    (name,) = [name for name in storage.files_below(f"{run}/traces") if name.endswith(".xplane.pb")]
    assert name.startswith("plugins/profile/")
    return Path(run.removeprefix("file://"), "traces", name).read_bytes()


def test_steps_are_traced_for_tensorboard(two_processes: str) -> None:
    assert b"exchange:" in profile_of(two_processes), "what ranks of one machine wait in"
    assert not storage.exists(f"{two_processes}/traces/timeline.json")


def test_without_shared_memory_horovod_exchanges_the_same_and_traces_it_for_perfetto(
    two_processes: str, spark: SparkSession, dataset: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    config = dataclasses.replace(TRAINING, path=str(tmp_path / "run"), trace_steps=5, shared_memory=False)
    train(spark, dataset, MODEL, config)
    assert any(record.getMessage().endswith("; gradients by Horovod") for record in caplog.records)
    run = (tmp_path / "run").as_uri()
    assert_same_weights(run, two_processes, 1e-6)
    assert b"exchange:" not in profile_of(run)
    events = json.loads(storage.read_text(f"{run}/traces/timeline.json"))
    assert sum(event.get("name") == "GLOO_ALLGATHER" and event["ph"] == "B" for event in events) >= 4


def test_a_finished_run_is_left_alone(two_processes: str, spark: SparkSession, dataset: str) -> None:
    path = Path(two_processes.removeprefix("file://"))
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    other = dataclasses.replace(TRAINING, checkpoint_minutes=1, max_restarts=1, min_processes=2, stall_seconds=9)
    train(spark, dataset, MODEL, dataclasses.replace(other, path=str(path), processes=2))
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before


def test_the_model_takes_raw_text_from_tensorflow_alone(two_processes: str) -> None:
    """A separate process that cannot import anything of ours."""
    program = (
        "import sys, json, tensorflow as tf\n"
        f"model = tf.saved_model.load({two_processes.removeprefix('file://') + '/model/saved_model'!r})\n"
        "answer = model.signatures['serving_default'](text=tf.constant(sys.argv[1:]))\n"
        "assert not {'jobs', 'training', 'preprocessing'} & set(sys.modules), sys.modules\n"
        "print(json.dumps({name: values.numpy().tolist() for name, values in answer.items()}, default=bytes.decode))\n"
    )
    texts = ["HELLO", "Please REFUND the Red\tDress", "배송 언제 와요", "", "x" * 10_000]
    done = subprocess.run(
        [sys.executable, "-c", program, *texts], capture_output=True, text=True, check=True, cwd="/", env={**os.environ}
    )
    found = json.loads(done.stdout)
    assert [intents[0] for intents in found["intents"][:3]] == ["greeting", "refund", "delivery"]
    version = json.loads(storage.read_text(f"{two_processes}/model/manifest.json"))["model_version"]
    assert found["version"] == [version] * len(texts)
    said = load_model(f"{two_processes}/model")(texts)
    for name in ("intents", "out_of_scope"):
        assert found[name] == [getattr(prediction, name) for prediction in said], name
    np.testing.assert_allclose(found["probabilities"], [prediction.probabilities for prediction in said], atol=1e-6)


# Horovod's own thread complains when its Spark job is cancelled
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_rank_that_fails_says_why_on_the_driver(
    spark: SparkSession, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = dataclasses.replace(MODEL, architecture="tests_failing_model:build")
    (tmp_path / "tests_failing_model.py").write_text(
        "import os\n"
        "def build(config, vocabulary_size, num_labels):\n"
        "    if os.environ.get('HOROVOD_RANK') == '1':\n"
        "        raise ArithmeticError('rank one cannot count')\n"
        "    from training.zoo import lstm\n"
        "    return lstm(config, vocabulary_size, num_labels)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    training = dataclasses.replace(TRAINING, path=str(tmp_path / "run"), processes=2)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(TrainingFailed, match=r"rank 1 on .*: ArithmeticError: rank one cannot count\nTraceback"):
        train(spark, dataset, model, training)
    assert signal.getsignal(signal.SIGINT) is handler
    assert not (tmp_path / "run.lease").exists()


def test_a_model_of_a_users_own_and_of_a_fixed_width_is_trained_and_answers(dataset: str, tmp_path: Path) -> None:
    (tmp_path / "tests_fixed_model.py").write_text(
        "import keras\n"
        "def build(config, vocabulary_size, num_labels):\n"
        "    layers = keras.layers\n"
        "    words = layers.Embedding(vocabulary_size, 8, mask_zero=True)\n"
        "    last = layers.Dense(num_labels, activation='softmax', kernel_regularizer='l2')\n"
        "    return keras.Sequential([keras.Input((7,)), words, layers.LSTM(8), last])\n"
    )
    job = job_for(dataset, tmp_path / "run", model=ModelConfig("tests_fixed_model:build"))
    assert start(job, tmp_path / "job", PYTHONPATH=str(tmp_path)).wait() == 0
    texts = ["hello", "배송 언제 와요", "is it on its way already or not yet"]
    answers = load_model(f"{job.run}/model")(texts)
    assert [answer.intents[0] for answer in answers] == ["greeting", "delivery", "delivery"]


def test_what_travels_to_executors_is_small(dataset: str, tmp_path: Path) -> None:
    size = len(cloudpickle.dumps((train_worker, (job_for(dataset, tmp_path),))))
    assert size < 2_000, f"{size} bytes: the worker drags something along; is it still a plain import?"


def test_a_run_whose_loss_is_no_number_stops_and_says_where(dataset: str, tmp_path: Path) -> None:
    wild = dataclasses.replace(TRAINING, learning_rate=1e38, warmup_epochs=0)
    job = job_for(dataset, tmp_path / "run", wild)
    assert start(job, tmp_path / "job").wait() == 1
    said = json.loads(storage.read_text(f"{job.run}/errors/rank-0.json"))
    assert re.search("Diverged: the loss became (nan|inf) in epoch 1, step", str(said))


def test_a_model_that_is_trained_in_16_bits_is_published_in_32(dataset: str, tmp_path: Path) -> None:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    half = dataclasses.replace(TRAINING, mixed_precision="float16")
    finish(job_for(dataset, tmp_path / "run", half), tmp_path / "job")
    model = tmp_path / "run" / "model"
    saved = SavedModel.FromString((model / "saved_model" / "saved_model.pb").read_bytes())
    for graph in saved.meta_graphs:
        graph.meta_info_def.ClearField("stripped_op_list")  # what operations could take
    assert "DT_FLOAT" in str(saved) and "DT_HALF" not in str(saved)
    with zipfile.ZipFile(model / "model.keras") as archive:
        assert b"float32" in (config := archive.read("config.json")) and b"float16" not in config
    assert [answer.intents[0] for answer in load_model(model.as_uri())(["hello", "배송 언제 와요"])] == [
        "greeting", "delivery",
    ]  # fmt: skip


def test_training_ends_early_and_keeps_the_best_epoch(dataset: str, tmp_path: Path) -> None:
    patient = dataclasses.replace(TRAINING, epochs=40, early_stopping_epochs=2, decay="none")
    finish(job_for(dataset, tmp_path / "run", patient), tmp_path / "job")
    accuracies = [row["validation_accuracy"] for row in read_history((tmp_path / "run").as_uri())]
    assert 3 <= len(accuracies) < 40
    assert max(accuracies) == accuracies[-3] and max(accuracies[-2:]) <= accuracies[-3]
