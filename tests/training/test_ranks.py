"""What several ranks compute, for everything that a step can be made of: real Horovod processes, without Spark."""

import math
import sys
from collections.abc import Iterator
from typing import Any

import cloudpickle
import numpy as np
import pytest

from training.config import OPTIMIZERS, ModelConfig, TrainingConfig

pytestmark = [pytest.mark.tensorflow, pytest.mark.horovod]

WORDS, LABELS = 30, 4


def penalised_model(config: ModelConfig, vocabulary_size: int, num_labels: int) -> Any:
    """A user's own, whose weights, and what it computes of each utterance, are kept small."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(vocabulary_size, 6, embeddings_regularizer="l2", mask_zero=True),
            layers.GlobalAveragePooling1D(),
            layers.Dense(6, activation="tanh", activity_regularizer="l2"),
            layers.Dense(num_labels, kernel_regularizer="l1", activation="softmax"),
        ]
    )


def own_model(config: ModelConfig, vocabulary_size: int, num_labels: int) -> Any:
    """A user's own, with Keras' batch normalisation of words, padding aside, and of utterances, far from 0."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(vocabulary_size, 6, keras.initializers.RandomNormal(20, 1), mask_zero=True),
            layers.BatchNormalization(),
            layers.Dense(6, activation="tanh"),  # without which the second would undo what the first one learns
            layers.GlobalAveragePooling1D(),
            layers.BatchNormalization(momentum=0.5),
            layers.Dense(num_labels, activation="softmax"),
        ]
    )


def noisy_model(config: ModelConfig, vocabulary_size: int, num_labels: int) -> Any:
    """A user's own, with Keras' other layers that draw in training."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(vocabulary_size, 6, mask_zero=True),
            layers.GaussianNoise(0.5),
            layers.GRU(6),
            layers.AlphaDropout(0.3),
            layers.GaussianDropout(0.3),
            layers.Dense(num_labels, activation="softmax"),
        ]
    )


HALVES = {"bfloat16": 1e-4, "float16": 2e-5}  # how far apart they may be: each rank rounds its own sums
DROPOUT: dict[str, Any] = {"dropped": {"dropout": 0.4}, "dropped states": {"dropout": 0.0, "recurrent_dropout": 0.4}}
CLIPPED = {"momentum": 0.9, "nesterov": True, "global_clipnorm": 0.1, "weight_decay": 0.01}
RECURRENT = ("lstm", "bilstm", "bigru", "bigru_attention", "cnn_lstm")
# architecture and how it is trained; more than those would prove no more
CASES = {
    **{name: (name, TrainingConfig(learning_rate=0.01)) for name in (*RECURRENT, "own", "penalised", "noisy")},
    # of one utterance batch normalisation leaves a gradient of rounding errors, which Adam makes as large as any other
    "cnn": ("cnn", TrainingConfig(learning_rate=0.1, optimizer="sgd")),
    "smoothed": ("lstm", TrainingConfig(learning_rate=0.01, label_smoothing=0.2)),
    "clipped": ("fasttext", TrainingConfig(learning_rate=0.1, optimizer="sgd", optimizer_options=CLIPPED)),
    "ngrams": ("fasttext", TrainingConfig(learning_rate=0.01)),
    **{case: ("bigru", TrainingConfig(learning_rate=0.01)) for case in DROPOUT},
    **{name: ("fasttext", TrainingConfig(learning_rate=0.01, optimizer=name)) for name in OPTIMIZERS},
    **{half: ("lstm", TrainingConfig(learning_rate=0.1, optimizer="sgd", mixed_precision=half)) for half in HALVES},
}
BY_FOUR = ["lstm", "cnn", "own", "penalised", "noisy", "ngrams", *DROPOUT]


def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of several sizes and lengths; the last leave ranks without examples."""
    draw = np.random.default_rng(1)
    for rows, tokens in [(12, 6), (9, 3), (12, 6), (5, 9), (3, 4), (1, 5)]:
        lengths = draw.integers(1, tokens + 1, rows)
        ids = draw.integers(2, WORDS, (rows, tokens)) * (np.arange(tokens) < lengths[:, None])
        yield ids.astype(np.int32), draw.integers(0, LABELS, rows).astype(np.int32)


def trained(case: str, ranks: Any, words: float, rank: int, processes: int) -> list[np.ndarray]:
    """The weights after an epoch over this rank's part of the batches, said to have so many words."""
    import keras

    from training.models import computing_in
    from training.optimizers import catch_up, make_optimizer
    from training.step import make_train_step
    from training.zoo import ZOO

    architecture, config = CASES[case]
    keras.utils.set_random_seed(3)
    build = {**ZOO, "own": own_model, "penalised": penalised_model, "noisy": noisy_model}[architecture]
    with computing_in(config.mixed_precision):
        options = {"ngrams": 4 if case == "ngrams" else 1, **DROPOUT.get(case, {"dropout": 0.0})}
        model = build(ModelConfig(embedding_size=8, units=6, **options), WORDS, LABELS)
    optimizer = make_optimizer(config)
    step = make_train_step(model, optimizer, ranks, label_smoothing=config.label_smoothing, words=words)
    for number, (ids, labels) in enumerate(batches()):
        seeds = np.random.default_rng(number).integers(0, 1 << 32, len(labels), np.uint32)
        step(ids[rank::processes], labels[rank::processes], seeds[rank::processes])
    catch_up(optimizer)
    return model.get_weights()


def alone_and_together(cases: list[str], way: str) -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
    """In one rank: the weights that one process gets with all examples (in rank 0 only), and those of this rank."""
    import horovod.tensorflow as hvd
    import keras

    from training.ranks import ALONE, meet

    hvd.init()
    rank, size = hvd.rank(), hvd.size()
    ranks = meet("test-ranks", [keras.Variable(np.zeros(100_000))], in_memory=way == "shared memory")
    assert ranks.way == way
    travel = dict.fromkeys(CASES, 0.0) | {"smoothed": math.inf}  # embeddings by their rows, in one case whole
    return {
        case: (
            trained(case, ALONE, math.inf, 0, 1) if rank == 0 else [],
            trained(case, ranks, travel[case], rank, size),
        )
        for case in cases
    }


@pytest.mark.parametrize("way", ["shared memory", "Horovod"])
@pytest.mark.parametrize(("processes", "cases"), [(2, [*CASES]), (4, BY_FOUR)], ids=["2", "4"])
def test_ranks_get_the_weights_of_one_process(
    processes: int, cases: list[str], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import horovod

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setenv("HOROVOD_GLOO_TIMEOUT_SECONDS", "120")  # for all to import TensorFlow, on a busy machine
    ranks = horovod.run(
        alone_and_together, (cases, way), num_proc=processes, use_gloo=True, start_timeout=120, disable_cache=True
    )
    assert len(ranks) == processes
    for case in cases:
        expected, _ = ranks[0][case]
        for rank in ranks:
            for one, other in zip(expected, rank[case][1], strict=True):
                np.testing.assert_allclose(other, one, rtol=0, atol=HALVES.get(case, 1e-5), err_msg=case)
