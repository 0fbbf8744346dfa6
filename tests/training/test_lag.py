"""Embeddings whose rows wait for their words, against Keras' Adam, which changes every row in every step."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training import lag
from training.config import TrainingConfig
from training.lag import PRECISION, TERMS, missed_shares

pytestmark = pytest.mark.tensorflow

WORDS, LABELS, RATE = 40, 3, 0.01
RARE = [20, 21, 22, 23]  # words that come after 1, 10, 100 and 700 steps
STEPS = 720
FEW = 4.0  # words of a step, of which the embedding has enough to wait


def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    draw = np.random.default_rng(5)
    for step in range(STEPS):
        ids = draw.integers(1, 20, (2, 3))
        if step == 0:
            ids[:, :2] = np.reshape(RARE, (2, 2))
        for word, when in zip(RARE, (1, 10, 100, 700), strict=True):
            if step == when:
                ids[0, 0] = word
        yield ids.astype(np.int32), draw.integers(0, LABELS, 2).astype(np.int32)


def classifier() -> Any:
    import keras

    keras.utils.set_random_seed(3)
    return keras.Sequential([
        keras.Input((None,), dtype="int32"), keras.layers.Embedding(WORDS, 4), keras.layers.LSTM(4),
        keras.layers.Dense(LABELS, activation="softmax"),
    ])  # fmt: skip


def stepper(model: Any, optimizer: Any, words: float) -> Callable[..., Any]:
    from training.ranks import ALONE
    from training.step import make_train_step

    return make_train_step(model, optimizer, ALONE, words=words)


def assert_equal_weights(one: Any, other: Any, tolerance: float) -> None:
    for mine, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("period", [lag.PERIOD, 300], ids=["all at the end", "and twice on the way"])
def test_rows_that_waited_are_those_of_keras(period: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    from training.optimizers import catch_up, make_optimizer

    monkeypatch.setattr(lag, "PERIOD", period)
    ours, theirs = classifier(), classifier()
    mine, keras_own = make_optimizer(TrainingConfig(learning_rate=RATE)), keras.optimizers.Adam(RATE)
    step, their_step = stepper(ours, mine, FEW), stepper(theirs, keras_own, math.inf)
    for number, (ids, labels) in enumerate(batches()):
        for optimizer in (mine, keras_own):  # a rate that changes all the time
            optimizer.learning_rate.assign(RATE * (1 + math.sin(number)) * 0.999**number)
        step(ids, labels), their_step(ids, labels)
    rows = RARE[:3]  # which wait by now; the last one came a few steps ago
    if period > STEPS:
        waiting, current = (model.get_weights()[0][rows] for model in (ours, theirs))
        assert np.abs(waiting - current).max() > 1e-4, "nothing waited, which proves nothing"
    for _ in range(2):
        catch_up(mine)
        assert_equal_weights(ours, theirs, 1e-5)
        for one, other in zip(mine._momentums + mine._velocities, keras_own._momentums + keras_own._velocities,
                              strict=True):  # fmt: skip
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-7)


def test_a_step_of_more_words_than_are_written_at_once_changes_all_of_them() -> None:
    import keras

    from training.optimizers import catch_up, make_optimizer

    def pooled() -> Any:
        keras.utils.set_random_seed(3)
        return keras.Sequential([
            keras.Input((None,), dtype="int32"), keras.layers.Embedding(2000, 4),
            keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(LABELS, activation="softmax"),
        ])  # fmt: skip

    ours, theirs = pooled(), pooled()
    mine = make_optimizer(TrainingConfig(learning_rate=RATE))
    step, their_step = stepper(ours, mine, 400.0), stepper(theirs, keras.optimizers.Adam(RATE), math.inf)
    draw = np.random.default_rng(5)
    for _ in range(20):
        ids, labels = draw.integers(0, 1000, (40, 10)).astype(np.int32), draw.integers(0, LABELS, 40).astype(np.int32)
        assert len(np.unique(ids)) > 2 * lag.PART and len(np.unique(ids)) % lag.PART
        step(ids, labels), their_step(ids, labels)
    catch_up(mine)
    assert_equal_weights(ours, theirs, 1e-5)


@pytest.mark.parametrize("way", ["as it is", "kept by one that had no rows wait"])
def test_a_training_goes_on_from_its_state_to_the_last_bit(way: str) -> None:
    from training.optimizers import catch_up, make_optimizer

    def fresh() -> tuple[Any, Any, Callable[..., Any]]:
        model, optimizer = classifier(), make_optimizer(TrainingConfig(learning_rate=RATE))
        return model, optimizer, stepper(model, optimizer, FEW)

    (model, optimizer, step), (again, restored, step_again) = fresh(), fresh()
    for ids, labels in list(batches())[:50]:
        step(ids, labels)
    kept = optimizer.variables
    if way != "as it is":
        catch_up(optimizer)
        kept = kept[:-3]
    again.set_weights(model.get_weights())
    for variable, value in zip(restored.variables, kept, strict=False):
        variable.assign(value)
    for ids, labels in list(batches())[50:110]:
        step(ids, labels), step_again(ids, labels)
    for one in (optimizer, restored):
        catch_up(one)
    assert_equal_weights(again, model, 0 if way == "as it is" else 1e-6)


@pytest.mark.parametrize(
    ("betas", "expected"), [((0.9, 0.999), True), ((0.8, 0.9995), True), ((0.9, 0.9), False), ((0.99, 0.999), False),
                            ((0.0, 0.999), False)],
)  # fmt: skip
def test_the_series_is_taken_where_float32_cannot_tell_it_from_the_sum(
    betas: tuple[float, float], expected: bool
) -> None:
    shares = missed_shares(*betas)
    assert (shares is not None) is expected
    if shares is None:
        return
    steps = np.arange(1, len(shares) + 1)
    for root in (0.0, 1e-9, 1e-7, 1e-3):  # of the velocity
        exact = (betas[0] ** steps / (root * betas[1] ** (steps / 2) + 1e-7)).sum()
        each = 1 / (root + 1e-7)
        series = each * sum((root * each) ** term * shares[:, term].sum() for term in range(TERMS))
        assert series == pytest.approx(exact, rel=2 * PRECISION)


@pytest.mark.parametrize(
    "options", [{"weight_decay": 0.01}, {"clipnorm": 1.0}, {"amsgrad": True}, {"beta_2": 0.9}], ids=str
)
def test_what_needs_every_row_in_every_step_has_them(options: dict[str, Any]) -> None:
    from training.optimizers import lets_rows_wait, make_optimizer

    assert lets_rows_wait(make_optimizer(TrainingConfig()))
    assert not lets_rows_wait(make_optimizer(TrainingConfig(optimizer_options=options)))


def tied(words: Any, vectors: Any) -> Any:
    import keras

    return keras.ops.matmul(keras.ops.mean(vectors(words), axis=1), keras.ops.transpose(vectors.embeddings))


def seen(words: Any, vectors: Any) -> Any:
    import tensorflow as tf

    return tf.reduce_mean(vectors(words), 1) + tf.stop_gradient(tf.reduce_sum(vectors.embeddings.value, 0))


def looped(words: Any, vectors: Any) -> Any:
    import tensorflow as tf

    return tf.map_fn(lambda row: tf.reduce_mean(vectors(row), 0), words, fn_output_signature=tf.float32)


def twice(words: Any, vectors: Any) -> Any:
    import keras

    return keras.ops.mean(vectors(words), axis=1) * keras.ops.max(vectors(keras.ops.minimum(words + 1, 9)), axis=1)


def halved(words: Any, vectors: Any) -> Any:
    """A second reading that the loss does not depend on."""
    import keras

    return keras.ops.mean(vectors(words), axis=1) + keras.ops.stop_gradient(keras.ops.mean(vectors(words - 1), axis=1))


def ragged(words: Any, vectors: Any) -> Any:
    import tensorflow as tf

    return tf.reduce_mean(vectors(tf.RaggedTensor.from_tensor(words)), 1)


def unused(words: Any, vectors: Any) -> Any:
    import keras

    return keras.ops.one_hot(words[:, 0], 4)


@pytest.mark.parametrize(
    ("use", "options", "expected"),
    [(tied, {}, 0), (seen, {}, 0), (looped, {}, 0), (ragged, {}, 0), (unused, {}, 0), (twice, {}, 1), (halved, {}, 1),
     (twice, {"trainable": False}, 0), (twice, {"embeddings_regularizer": "l2"}, 0),
     (twice, {"embeddings_constraint": "unit_norm"}, 0)],
)  # fmt: skip
def test_rows_wait_where_only_calls_of_the_layer_read_them(
    use: Callable[..., Any], options: dict[str, Any], expected: int
) -> None:
    import keras

    from training.embeddings import read_by_words
    from training.optimizers import catch_up, make_optimizer

    class Own(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.vectors = keras.layers.Embedding(WORDS, 4, **options)

        def build(self, shape: Any) -> None:
            self.vectors.build()

        def call(self, words: Any) -> Any:
            return use(words, self.vectors)

        def compute_output_spec(self, words: Any) -> Any:
            return keras.KerasTensor((words.shape[0], WORDS if use is tied else 4))

    def fresh() -> Any:
        keras.utils.set_random_seed(3)
        ids = keras.Input((None,), dtype="int32")
        return keras.Model(ids, keras.layers.Dense(LABELS, activation="softmax")(Own()(ids)))

    assert len(read_by_words(fresh(), FEW)) == expected
    assert not read_by_words(fresh(), WORDS)
    ours, theirs = fresh(), fresh()
    mine = make_optimizer(TrainingConfig(learning_rate=RATE))
    step, their_step = stepper(ours, mine, FEW), stepper(theirs, keras.optimizers.Adam(RATE), math.inf)
    for ids, labels in list(batches())[:30]:
        step(ids % 10, labels), their_step(ids % 10, labels)  # 0, less 1, is the last of the rows
    catch_up(mine)
    assert_equal_weights(ours, theirs, 1e-5)


def test_a_word_that_is_none_fails_as_in_keras() -> None:
    from training.optimizers import make_optimizer

    step = stepper(classifier(), make_optimizer(TrainingConfig()), FEW)
    with pytest.raises(Exception, match=rf"{WORDS} is not in \[0, {WORDS}\)"):
        step(np.array([[1, WORDS]], np.int32), np.zeros(1, np.int32))


def test_a_checkpoint_of_an_earlier_parley_is_gone_on_from(tmp_path: Path) -> None:
    import threading

    from training.checkpoint import Checkpoint, Position
    from training.optimizers import make_optimizer
    from training.recorder import Recorder

    model, optimizer = classifier(), make_optimizer(TrainingConfig())
    optimizer.build(model.trainable_variables)
    old = [np.add(variable.numpy(), 1, dtype=variable.dtype) for variable in optimizer.variables]
    optimizer = make_optimizer(TrainingConfig())
    stepper(model, optimizer, FEW)
    Recorder(None, model, optimizer, Checkpoint(Position(), model.get_weights(), old, []), threading.Event())
    kept = [variable.numpy() for variable in optimizer.variables]
    assert len(kept) == len(old) + 3
    for one, other in zip(kept, [*old, 0, np.zeros(WORDS), 0], strict=True):
        np.testing.assert_array_equal(one, np.broadcast_to(other, one.shape))
