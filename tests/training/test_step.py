"""The training step in one process, against Keras' own."""

import math
from typing import Any

import numpy as np
import pytest

from preprocessing.errors import UserError
from training.config import OPTIMIZERS, ModelConfig, TrainingConfig

pytestmark = pytest.mark.tensorflow

IDS = np.array([[2, 3, 0], [4, 2, 3], [5, 0, 0]], np.int32)
FULL = np.array([[2, 3, 4], [4, 2, 3], [5, 6, 7]], np.int32)
LABELS = np.array([0, 1, 1], np.int32)


def fresh_model():
    import keras

    from training.models import build_model

    keras.utils.set_random_seed(3)
    return build_model(ModelConfig(embedding_size=4, units=4, dropout=0.0), vocabulary_size=8, num_labels=2)


@pytest.mark.parametrize(
    "optimizer, batches",
    [("SGD", [IDS]), ("SGD", [IDS, FULL]), ("Adam", [np.array([[2, 3, 0], [4, 0, 0], [5, 6, 7]], np.int32)])],
    # Keras' Adam squares the gradients of repeated words singly
    ids=["SGD, words repeated", "SGD, with and without padding in turns", "Adam, each word once"],
)
def test_steps_are_those_of_keras_fit(optimizer: str, batches: list[np.ndarray]) -> None:
    import keras

    from training.ranks import ALONE
    from training.step import make_train_step

    ours, theirs = fresh_model(), fresh_model()
    mine, keras_own = (getattr(keras.optimizers, optimizer)(0.01) for _ in range(2))
    step = make_train_step(ours, mine, ALONE, unpadded={FULL.shape[1]})  # of which IDS are no part, and are noticed
    theirs.compile(keras_own, "sparse_categorical_crossentropy")
    for ids in batches * 3:
        sums = step(ids, LABELS).numpy()
        theirs.reset_metrics()
        loss = theirs.train_on_batch(ids, LABELS)
    assert sums[2] == 3
    assert sums[0] / 3 == pytest.approx(float(loss), abs=1e-5)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    ("ids", "unpadded", "expected"), [(FULL, {3}, True), (FULL, {2}, False), (IDS, {3}, False)],
    ids=["a width without padding", "one with padding, in other batches", "padding where none was said to be"],
)  # fmt: skip
def test_where_nothing_is_padded_there_are_no_masks(
    ids: np.ndarray, unpadded: set[int], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    from training import step
    from training.ranks import ALONE

    full: list[bool] = []
    own = step.unrolled
    monkeypatch.setattr(step, "unrolled", lambda model, ids: full.append(ids is not None) or own(model, ids))
    step.make_train_step(fresh_model(), keras.optimizers.SGD(0.1), ALONE, unpadded=unpadded)(ids, LABELS)
    assert full == [expected]


def test_an_error_within_a_step_is_said_in_its_own_words() -> None:
    import keras
    import tensorflow as tf

    from training.ranks import ALONE
    from training.reports import in_one_line
    from training.step import make_train_step

    def strike() -> None:
        raise ArithmeticError("this rank cannot count")

    class Struck(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            with tf.control_dependencies([tf.py_function(strike, [], [])]):
                return tf.identity(inputs)

    model = fresh_model()
    step = make_train_step(keras.Model(model.input, Struck()(model.output)), keras.optimizers.SGD(0.1), ALONE)
    with pytest.raises(tf.errors.UnknownError) as caught:
        step(IDS, LABELS)
    assert in_one_line(caught.value) == "UnknownError: ArithmeticError: this rank cannot count"


def penalised(regularizer: float) -> Any:
    """The model of these tests whose layers have losses of their own."""
    import keras

    model = fresh_model()
    ids, weights = model.input, keras.regularizers.L2(regularizer)
    hidden = model.get_layer("lstm_1")(model.get_layer("embedding")(ids))
    hidden = keras.layers.Dense(3, kernel_regularizer=weights, activity_regularizer=weights, name="small")(hidden)
    return keras.Model(ids, keras.layers.Dense(2, activation="softmax")(hidden))


def test_what_layers_add_to_the_loss_is_learned_from_as_keras_does() -> None:
    import keras

    from training.ranks import ALONE
    from training.step import make_train_step

    ours, theirs, free = (penalised(strength) for strength in (0.5, 0.5, 0.0))
    make_train_step(ours, keras.optimizers.SGD(0.1), ALONE)(IDS, LABELS)
    for model in (theirs, free):
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        model.train_on_batch(IDS, LABELS)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert np.abs(free.get_layer("small").kernel.numpy() - ours.get_layer("small").kernel.numpy()).max() > 0.01


def test_class_weights_are_those_of_keras_and_leave_the_sums_alone() -> None:
    import keras

    from training.ranks import ALONE
    from training.step import balanced_weights, make_train_step

    weights = balanced_weights(np.bincount(LABELS))
    assert weights.tolist() == [1.5, 0.75]
    ours, theirs = fresh_model(), fresh_model()
    plain = make_train_step(fresh_model(), keras.optimizers.SGD(0.1), ALONE)(IDS, LABELS)
    step = make_train_step(ours, keras.optimizers.SGD(0.1), ALONE, weights)
    np.testing.assert_array_equal(step(IDS, LABELS), plain)
    theirs.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    theirs.train_on_batch(IDS, LABELS, class_weight={0: 1.5, 1: 0.75})
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_smoothed_labels_are_those_of_keras_and_leave_the_sums_alone() -> None:
    import keras
    import tensorflow as tf

    from training.ranks import ALONE
    from training.step import make_train_step

    ours, theirs = fresh_model(), fresh_model()
    plain = make_train_step(fresh_model(), keras.optimizers.SGD(0.1), ALONE)(IDS, LABELS)
    step = make_train_step(ours, keras.optimizers.SGD(0.1), ALONE, label_smoothing=0.3)
    np.testing.assert_array_equal(step(IDS, LABELS), plain)
    theirs.compile(keras.optimizers.SGD(0.1), keras.losses.CategoricalCrossentropy(label_smoothing=0.3))
    theirs.train_on_batch(IDS, tf.one_hot(LABELS, 2))
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_its_options(name: str) -> None:
    from training.optimizers import make_optimizer

    optimizer = make_optimizer(TrainingConfig(optimizer=name, optimizer_options={"clipnorm": 0.5}, learning_rate=0.25))
    assert type(optimizer).__name__.lower() == name
    assert optimizer.clipnorm == 0.5 and float(optimizer.learning_rate) == 0.25


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_follows_the_rate_that_a_step_is_given(name: str) -> None:
    from training.optimizers import make_optimizer
    from training.ranks import ALONE
    from training.step import make_train_step

    def weights(rates: list[float], assigned: bool) -> list[np.ndarray]:
        model, optimizer = fresh_model(), make_optimizer(TrainingConfig(optimizer=name, learning_rate=0.25))
        step = make_train_step(model, optimizer, ALONE)
        for rate in rates:
            if assigned:
                optimizer.learning_rate.assign(rate)
            step(IDS, LABELS, None, None if assigned else rate)
        assert float(optimizer.learning_rate) == np.float32(rates[-1])
        return model.get_weights()

    for one, other in zip(weights([0.1, 0.03], False), weights([0.1, 0.03], True), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on_as_if_it_had_not_been_interrupted(name: str) -> None:
    from training.optimizers import make_optimizer
    from training.ranks import ALONE
    from training.step import make_train_step

    def start() -> tuple:
        model, optimizer = fresh_model(), make_optimizer(TrainingConfig(optimizer=name, learning_rate=0.1))
        return model, optimizer, make_train_step(model, optimizer, ALONE)

    model, optimizer, step = start()
    again, restored, step_again = start()
    for _ in range(2):
        step(IDS, LABELS)
    again.set_weights(model.get_weights())
    for variable, value in zip(restored.variables, optimizer.variables, strict=True):
        variable.assign(value)
    for _ in range(2):
        step(IDS, LABELS), step_again(IDS, LABELS)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("clipped", [{}, {"clipnorm": 0.5}], ids=["as they are", "clipped"])
@pytest.mark.parametrize("words", [0.0, math.inf], ids=["by rows", "whole"])
def test_adam_is_that_of_keras_to_rounding(words: float, clipped: dict[str, float]) -> None:
    import keras

    from training.optimizers import catch_up, make_optimizer
    from training.ranks import ALONE
    from training.step import make_train_step

    options = {"beta_1": 0.8, "epsilon": 1e-4, "weight_decay": 0.01, **clipped}
    ours, theirs = fresh_model(), fresh_model()
    mine = make_optimizer(TrainingConfig(learning_rate=0.05, optimizer_options=options))
    step = make_train_step(ours, mine, ALONE, words=words)
    their_step = make_train_step(theirs, keras.optimizers.Adam(0.05, **options), ALONE)
    for _ in range(20):
        step(IDS, LABELS), their_step(IDS, LABELS)
    catch_up(mine)
    assert type(mine) is not keras.optimizers.Adam
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_an_option_that_an_optimizer_lacks_is_refused() -> None:
    from training.optimizers import make_optimizer

    with pytest.raises(UserError, match=r"optimizer_options = {'beta_1': 0.8} is refused by keras.optimizers.SGD: "):
        make_optimizer(TrainingConfig(optimizer="sgd", optimizer_options={"beta_1": 0.8}))


def test_the_optimizers_are_those_of_keras() -> None:
    from keras.src.optimizers import ALL_OBJECTS_DICT

    others = {"optimizer", "multioptimizer", "optimizermap", "lossscaleoptimizer", "schedulefreeadamw"}
    assert set(OPTIMIZERS) == set(ALL_OBJECTS_DICT) - others


def test_a_class_without_examples_has_a_weight() -> None:
    from training.step import balanced_weights

    assert balanced_weights(np.array([0, 2, 4])).tolist() == [2, 1, 0.5]


def test_a_rank_without_examples_changes_nothing_but_takes_part() -> None:
    """Its gradients are zero: with those of the others, handed in by the exchange, the step is the whole batch's."""
    import keras

    from training.ranks import ALONE
    from training.step import make_train_step

    alone, empty, sent = fresh_model(), fresh_model(), []

    def remember(tensors: list) -> list:
        sent.append(len(tensors))
        return tensors

    def add_three_examples(tensors: list) -> list:
        *gradients, sums = tensors
        return [*gradients, sums + np.array([0, 0, 3], np.float32)]

    make_train_step(alone, keras.optimizers.SGD(0.1), ALONE._replace(add=remember))(IDS, LABELS)
    before = empty.get_weights()
    step = make_train_step(empty, keras.optimizers.SGD(0.1), ALONE._replace(add=add_three_examples))
    sums = step(np.empty((0, 3), np.int32), np.empty(0, np.int32)).numpy()
    assert sums.tolist() == [0.0, 0.0, 3.0]
    assert sent == [len(alone.trainable_variables) + 1]
    for one, other in zip(before, empty.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_padding_changes_nothing() -> None:
    model = fresh_model()
    short, padded = model(np.array([[2, 3]])), model(np.array([[2, 3, 0, 0]]))
    np.testing.assert_allclose(short, padded, rtol=1e-5)
