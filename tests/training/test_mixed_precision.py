"""Training in 16 bits: what stays float32, steps that are left out, and going on from a checkpoint."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preprocessing.manifest import DataFile, DatasetManifest
from training.checkpoint import NOTHING, Position, read_checkpoint, read_history
from training.config import ModelConfig, TrainingConfig
from training.data import Block
from training.progress import epoch_line
from training.watch import Watch
from training.worker import TrainJob

pytestmark = pytest.mark.tensorflow

IDS = np.array([[2, 3, 0], [4, 2, 3], [5, 0, 0]], np.int32)
LABELS = np.array([0, 1, 1], np.int32)
MODEL = ModelConfig("lstm", embedding_size=4, units=4, dropout=0.0)
HALVES = ["bfloat16", "float16"]
OWN = """
import keras

def build(config, vocabulary_size, num_labels):
    layers = keras.layers
    return keras.Sequential([
        keras.Input((None,), dtype="int32"), layers.Embedding(vocabulary_size, 4, mask_zero=True), layers.LSTM(4),
        layers.Dense(num_labels, activation="softmax"),
    ])

def failing(config, vocabulary_size, num_labels):
    raise ArithmeticError("no")
"""


@pytest.fixture(autouse=True)
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tests_own_half.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))


def fresh(config: TrainingConfig, model: ModelConfig = MODEL) -> tuple[Any, Any]:
    """A model and its optimizer."""
    import keras

    from training.models import build_model
    from training.optimizers import make_optimizer

    keras.utils.set_random_seed(3)
    return build_model(model, 8, 2, mixed_precision=config.mixed_precision), make_optimizer(config)


@pytest.mark.parametrize("half", HALVES)
def test_layers_compute_in_it_while_weights_and_what_travels_are_float32(half: str) -> None:
    import keras

    from training.ranks import ALONE
    from training.step import make_train_step

    sent: list[str] = []

    def remember(tensors: list, name: str = "step") -> list:
        sent.extend(tensor.dtype.name for tensor in tensors)
        return tensors

    model, optimizer = fresh(TrainingConfig(mixed_precision=half))
    assert [layer.compute_dtype for layer in model.layers if layer.weights] == [half, half, "float32"]
    assert keras.config.dtype_policy().name == "float32"
    sums = make_train_step(model, optimizer, ALONE._replace(add=remember))(IDS, LABELS)
    assert {weights.dtype for weights in model.weights} == {"float32"}
    assert sent == ["float32"] * (len(model.trainable_variables) + 1)
    assert sums.dtype.name == "float32"


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("half", HALVES)
def test_a_model_of_the_users_own_learns_though_its_probabilities_have_16_bits(half: str, smoothing: float) -> None:
    from training.ranks import ALONE
    from training.step import Sums, make_evaluation_step, make_train_step

    own = ModelConfig("tests_own_half:build")
    model, optimizer = fresh(TrainingConfig(learning_rate=0.05, mixed_precision=half), own)
    assert model(IDS).dtype.name == half
    step = make_train_step(model, optimizer, ALONE, label_smoothing=smoothing)
    for _ in range(60):
        step(IDS, LABELS)
    done = Sums(*make_evaluation_step(model)(IDS, LABELS).numpy().tolist())
    assert done.correct == 3 and done.loss < 0.3
    model.layers[-1].bias.assign([20.0, -20.0])  # 16 bits have no probability so small
    hopeless = Sums(*make_evaluation_step(model)(IDS, np.ones(3, np.int32)).numpy().tolist())
    assert hopeless.loss / 3 == pytest.approx(40, abs=5)


def test_a_function_that_fails_leaves_keras_as_it_was() -> None:
    import keras

    with pytest.raises(ArithmeticError):
        fresh(TrainingConfig(mixed_precision="bfloat16"), ModelConfig("tests_own_half:failing"))
    assert keras.config.dtype_policy().name == "float32"


def test_a_step_that_overflows_on_any_rank_is_left_out_and_training_goes_on() -> None:
    import tensorflow as tf

    from training.ranks import ALONE
    from training.step import make_train_step

    others = tf.Variable(0.0)  # what the gradients of other ranks add
    add = lambda tensors, name="step": [*[tensor + others for tensor in tensors[:-1]], tensors[-1]]  # noqa: E731
    model, optimizer = fresh(TrainingConfig(batch_size=256, mixed_precision="float16"))
    step = make_train_step(model, optimizer, ALONE._replace(add=add))
    weights, state = model.get_weights(), [variable.numpy() for variable in optimizer.inner_optimizer.variables]
    for overflow in (np.inf, np.nan):
        others.assign(overflow)
        assert np.isfinite(step(IDS, LABELS)).all(), "it would look as if the loss had diverged"
    assert float(optimizer.dynamic_scale) == 2.0**5  # after 2**7, 32768 over a batch of 256
    after = [*model.get_weights(), *[variable.numpy() for variable in optimizer.inner_optimizer.variables]]
    for one, other in zip([*weights, *state], after, strict=True):
        np.testing.assert_array_equal(one, other)
    others.assign(0.0)
    step(IDS, LABELS)
    assert float(optimizer.dynamic_scale) == 2.0**5
    assert all((one != other).any() for one, other in zip(weights, model.get_weights(), strict=True))


def test_the_history_says_how_many_steps_of_an_epoch_were_skipped(tmp_path: Path) -> None:
    import tensorflow as tf

    from training.loop import Loop
    from training.ranks import ALONE
    from training.recorder import Recorder

    calls = tf.Variable(0)

    def add(tensors: list, name: str = "step") -> list:  # another rank's gradients overflow in steps 2 and 4 of 6
        if len(tensors) == 1:  # the sums of a validation
            return tensors
        others = tf.where((calls.assign_add(1) == 2) | (calls == 4), np.inf, 0.0)
        return [*[tensor + others for tensor in tensors[:-1]], tensors[-1]]

    config = TrainingConfig(batch_size=1, epochs=2, mixed_precision="float16")
    files = {split: (DataFile(f"{split}/part", (3,)),) for split in ("train", "validation", "test")}
    manifest = DatasetManifest("words", 3, (3,), 8, 2, "", files, 9, 0, {}, "")
    blocks = {split: [Block(IDS, LABELS)] for split in files}
    model, optimizer = fresh(config)
    loop = Loop(model, optimizer, config, manifest, blocks, 0, 1, ALONE._replace(add=add))
    job = TrainJob("", tmp_path.as_uri(), "", MODEL, config, 1, {})
    recorder, watch = Recorder(job, model, optimizer, NOTHING, threading.Event()), Watch(job.run, 0, 600)
    loop.run(Position(), watch, None, recorder)
    watch.close()
    recorder.wait()
    history = read_history(job.run)
    assert [row["skipped_steps"] for row in history] == [1, 1]
    assert epoch_line(history[0]).endswith("waiting for input; steps skipped, as a gradient overflowed float16: 1")


def test_the_scale_of_the_loss_does_not_decide_the_weights() -> None:
    from training.ranks import ALONE
    from training.step import make_train_step

    found = []
    for precision, batch_size in (("none", 1), ("float16", 64), ("float16", 256)):
        config = TrainingConfig(batch_size=batch_size, optimizer="sgd", learning_rate=1.0, mixed_precision=precision)
        model, optimizer = fresh(config)
        make_train_step(model, optimizer, ALONE)(IDS, LABELS)
        found.append(model.get_weights())
    for exact, *halves in zip(*found, strict=True):
        for half in halves:
            np.testing.assert_allclose(half, exact, rtol=0, atol=1e-3)


def test_a_checkpoint_has_the_scale_of_the_loss(tmp_path: Path) -> None:
    from training.ranks import ALONE
    from training.recorder import Recorder
    from training.step import make_train_step

    config = TrainingConfig(learning_rate=0.1, mixed_precision="float16")
    job = TrainJob("", tmp_path.as_uri(), "", MODEL, config, 1, {})

    def start() -> tuple[Any, Any, Any, Recorder]:
        model, optimizer = fresh(config)
        step = make_train_step(model, optimizer, ALONE)
        return model, optimizer, step, Recorder(job, model, optimizer, read_checkpoint(job.run), threading.Event())

    model, optimizer, step, recorder = start()
    optimizer.dynamic_scale.assign(2.0**30)  # more than float16 takes
    step(IDS, LABELS)
    optimizer.dynamic_scale.assign(2.0**9)
    step(IDS, LABELS)
    recorder.keep(Position([], 2))
    recorder.wait()
    again, restored, step_again, _ = start()
    assert float(restored.dynamic_scale) == 2.0**9 and int(restored.step_counter) == 1
    for own_optimizer, own_step in ((optimizer, step), (restored, step_again)):
        own_optimizer.learning_rate.assign(0.05)
        own_step(IDS, LABELS)
    assert int(restored.iterations) == int(optimizer.iterations) == 2
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
