"""LSTM and GRU layers, unrolled, against Keras' own."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.tensorflow

BATCH, WIDTH, UNITS = 5, 3, 4
KINDS = st.sampled_from(["LSTM", "GRU"])


def computed(layer: Any, inputs: np.ndarray, mask: np.ndarray | None, state: Any = None) -> tuple[list[Any], set[str]]:
    """The layer's outputs and all gradients of their weighted sum, and what operations the graph is made of."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, *inputs.shape[1:]])])
    def compute(values: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs = layer(
                values, mask=None if mask is None else tf.constant(mask), training=True, initial_state=state
            )
            share = tf.reshape(tf.range(float(np.prod(outputs.shape[1:]))), outputs.shape[1:])
            total = tf.reduce_sum(outputs * (share + 1))
        return [outputs, *tape.gradient(total, [values, *[weight.value for weight in layer.trainable_weights]])]

    graph = compute.get_concrete_function().graph.as_graph_def()
    kinds = {node.op for node in [*graph.node, *(node for part in graph.library.function for node in part.node_def)]}
    return [result.numpy() for result in compute(tf.constant(inputs))], kinds


def both_ways(layer: Any, inputs: np.ndarray, mask: np.ndarray | None, state: Any = None) -> tuple[Any, Any]:
    """What Keras computes, and what it does unrolled."""
    import keras

    from training.unrolled import unrolled

    model = keras.Sequential([keras.Input(inputs.shape[1:]), layer])
    layer.set_weights([np.random.default_rng(7).normal(size=w.shape) for w in layer.get_weights()])
    own = computed(layer, inputs, mask, state)
    with unrolled(model):
        ours = computed(layer, inputs, mask, state)
    assert computed(layer, inputs, mask, state)[1] == own[1], "the layer is no longer as it was"
    return own, ours


@settings(max_examples=25, deadline=None)
@given(
    data=st.data(),
    kind=KINDS,
    tokens=st.integers(1, 6),
    sequences=st.booleans(),
    backwards=st.booleans(),
    bias=st.booleans(),
)
def test_outputs_and_gradients_are_those_of_keras(
    data: Any, kind: str, tokens: int, sequences: bool, backwards: bool, bias: bool
) -> None:
    import keras

    rows = st.lists(st.lists(st.booleans(), min_size=tokens, max_size=tokens), min_size=BATCH, max_size=BATCH)
    mask = data.draw(st.none() | rows.map(np.array))
    zeros = sequences and data.draw(st.booleans())  # as Bidirectional sets it
    layer = getattr(keras.layers, kind)(
        UNITS, return_sequences=sequences, go_backwards=backwards, use_bias=bias, zero_output_for_mask=zeros
    )
    inputs = np.random.default_rng(3).normal(size=(BATCH, tokens, WIDTH)).astype(np.float32)
    (expected, _), (found, kinds) = both_ways(layer, inputs, mask)
    assert not any("While" in kind for kind in kinds)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * max(1, np.abs(other).max()))


def test_a_mask_of_word_ids_is_one_of_words() -> None:
    import keras

    ids, inputs = np.array([[4, 7, 0]] * BATCH), np.ones((BATCH, 3, WIDTH), np.float32)
    (expected, _), (found, kinds) = both_ways(keras.layers.LSTM(UNITS, return_sequences=True), inputs, ids)
    assert not any("While" in kind for kind in kinds)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * max(1, np.abs(other).max()))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("LSTM", {"recurrent_dropout": 0.1}), ("GRU", {"dropout": 0.1}), ("LSTM", {"activation": "relu"}),
     ("GRU", {"stateful": True}), ("LSTM", {"zero_output_for_mask": True}), ("GRU", {"dtype": "mixed_bfloat16"}),
     ("GRU", {"reset_after": False})],
)  # fmt: skip
def test_a_layer_with_other_settings_is_left_to_keras(kind: str, options: dict[str, Any]) -> None:
    import keras

    from training.unrolled import longest_unrolled, unrolled

    layer = getattr(keras.layers, kind)(UNITS, **options)
    model = keras.Sequential([keras.Input((3, WIDTH), batch_size=BATCH), layer])
    assert longest_unrolled(model) == 0
    with unrolled(model):
        assert "inner_loop" not in vars(layer)


@pytest.mark.parametrize(("kind", "state"), [("LSTM", (0.5, -0.5)), ("GRU", (0.5,))])
def test_a_layer_that_is_given_a_state_is_left_to_keras(kind: str, state: tuple[float, ...]) -> None:
    import keras
    import tensorflow as tf

    given = [tf.fill([BATCH, UNITS], value) for value in state]
    inputs = np.ones((BATCH, 3, WIDTH), np.float32)
    (expected, own), (found, kinds) = both_ways(getattr(keras.layers, kind)(UNITS), inputs, None, given)
    assert kinds == own
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_more_tokens_than_it_pays_for_are_left_to_keras() -> None:
    import keras

    from training.unrolled import LONGEST

    inputs = np.ones((BATCH, LONGEST + 1, WIDTH), np.float32)
    (_, own), (_, kinds) = both_ways(keras.layers.LSTM(UNITS), inputs, None)
    assert kinds == own


@pytest.mark.parametrize("name", ["lstm", "bilstm", "cnn_lstm", "bigru", "bigru_attention"])
def test_the_zoos_layers_are_unrolled_both_ways_and_one_above_the_other(name: str) -> None:
    import tensorflow as tf

    from training.config import ModelConfig
    from training.models import build_model
    from training.unrolled import unrolled

    model = build_model(ModelConfig(name, embedding_size=6, units=5, layers=2), vocabulary_size=9, num_labels=3)
    ids = np.array([[2, 3, 0, 0], [4, 5, 6, 7], [8, 0, 0, 0]], np.int32)
    expected = model(ids).numpy()
    with unrolled(model):
        graph = tf.function(lambda ids: model(ids)).get_concrete_function(tf.TensorSpec([None, 4], tf.int32))
    assert not any("While" in node.op for node in graph.graph.as_graph_def().node)
    np.testing.assert_allclose(graph(tf.constant(ids)), expected, atol=1e-6)


FULL = np.array([[2, 3, 4], [4, 2, 3], [5, 6, 7]], np.int32)


def read_in_full(words: Any, layer: Any) -> tuple[int, int]:
    """How many multiplications a model of ids has whose layer reads words(ids), and how many where they are full.

    What it says of FULL, and the gradients of its weights, are the same to rounding.
    """
    import keras
    import tensorflow as tf

    from training.unrolled import unrolled

    keras.utils.set_random_seed(3)
    ids = keras.Input((None,), dtype="int32")
    model = keras.Model(ids, layer(keras.layers.Embedding(8, WIDTH, mask_zero=True)(words(ids))))

    def graph(full: bool) -> Any:
        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.int32)])
        def compute(ids: Any) -> list[Any]:
            with tf.GradientTape() as tape, unrolled(model, ids if full else None):
                outputs = model(ids, training=True)
            return [outputs, *map(tf.convert_to_tensor, tape.gradient(outputs, [w.value for w in model.weights]))]

        return compute.get_concrete_function()

    masked, full = graph(full=False), graph(full=True)
    for one, other in zip(masked(tf.constant(FULL)), full(tf.constant(FULL)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    of_masked, of_full = (
        sum(operation.type == "Mul" for operation in each.graph.get_operations()) for each in (masked, full)
    )
    return of_masked, of_full


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("sides", [1, 2])
def test_a_batch_without_padding_needs_no_masks(kind: str, sides: int) -> None:
    import keras

    layer = getattr(keras.layers, kind)(UNITS)
    masked, full = read_in_full(lambda ids: ids, keras.layers.Bidirectional(layer) if sides == 2 else layer)
    assert full < masked


def test_zeros_of_what_a_model_makes_of_its_ids_still_are_padding() -> None:
    import keras

    masked, full = read_in_full(lambda ids: ids % 4, keras.layers.LSTM(UNITS))  # word 4 is padding to it
    assert full == masked
