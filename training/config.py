"""What a user can set about the model and its training: sections `model` and `training`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from preprocessing.config import require

# the zoo, in zoo.py; named here as the driver checks the name without Keras
ARCHITECTURES = ("lstm", "bilstm", "bigru", "bigru_attention", "cnn", "cnn_lstm", "fasttext")

# Keras' own, but for those that are made of other ones, and for those that keep the weights for use beside the model's
OPTIMIZERS = (
    "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lion", "muon", "nadam", "rmsprop", "sgd",
)  # fmt: skip
UNFIT_OPTIONS = {
    "learning_rate": "it is training.learning_rate",
    "use_ema": "the model would not get the averaged weights",
    "gradient_accumulation_steps": "training.batch_size may be as large, and counts each example as much",
    "loss_scale_factor": "training.mixed_precision scales the loss where that is needed",
}
PRECISIONS = ("none", "bfloat16", "float16")


@dataclass(frozen=True)
class ModelConfig:
    """Which network, and how large."""

    architecture: str = "lstm"  # one of ARCHITECTURES, or package.module:function of the user's own
    embedding_size: int = 128
    units: int = 128  # of each recurrent layer; filters of each width of a convolution
    layers: int = 1  # recurrent ones
    dropout: float = 0.3
    recurrent_dropout: float = 0.0  # of the state between words; such layers are Keras' slower loops
    ngrams: int = 1  # words of the longest runs that have a vector of their own, beside what the network says; 1: none
    ngram_buckets: int = 100_000  # such vectors; runs share them by their hash
    ngram_size: int = 16  # numbers in each, for each length of the runs
    word_vectors: str = ""  # URI of a GloVe, fastText or word2vec text file, or of what jobs.word_vectors wrote
    word_vectors_frozen: bool = False  # are they kept as they are

    def __post_init__(self) -> None:
        wanted = f"one of {' '.join(ARCHITECTURES)}, or your own as package.module:function"
        require(
            self.architecture in ARCHITECTURES or ":" in self.architecture,
            "model.architecture",
            wanted,
            self.architecture,
        )
        for key in ("embedding_size", "units", "layers", "ngrams", "ngram_buckets", "ngram_size"):
            require(getattr(self, key) >= 1, f"model.{key}", "at least 1", getattr(self, key))
        for key in ("dropout", "recurrent_dropout"):
            require(0 <= getattr(self, key) < 1, f"model.{key}", "from 0 to below 1", getattr(self, key))
        wanted = "false, or model.word_vectors the URI of a file"
        require(not (self.word_vectors_frozen and not self.word_vectors), "model.word_vectors_frozen", wanted, True)


@dataclass(frozen=True)
class TrainingConfig:
    """How, on how many processes, and where the run goes."""

    path: str = ""
    processes: int = 2  # Horovod ranks: one GPU, or one CPU slot of Spark, each
    epochs: int = 10
    batch_size: int = 256  # global: examples per step over all processes
    optimizer: str = "adam"  # one of OPTIMIZERS
    optimizer_options: Mapping[str, float] = field(default_factory=dict)  # its own: momentum, weight_decay, ...
    learning_rate: float = 1e-3
    warmup_epochs: float = 0.0  # over which the learning rate rises from 0
    decay: str = "none"  # afterwards: "none", or "cosine" down to 0 at the end of the last epoch
    early_stopping_epochs: int = 0  # without a better validation accuracy, after which training ends; 0: never
    start_from: str = ""  # URI of a model whose weights training starts with, or "current": the registry's
    checkpoint_minutes: float = 10.0  # between checkpoints within an epoch; there is one after each; 0: only these
    max_restarts: int = 3  # of processes that died or froze, each time from the last checkpoint
    min_processes: int = 1  # with which training goes on where executors are gone
    stall_seconds: float = 40.0  # for one step; a process that takes longer has stalled, and is ended
    trace_steps: int = 0  # of rank 0, early in the run, that are traced into run/traces: profile and timeline
    shared_memory: bool = True  # do processes of one machine exchange gradients in its memory, not through Horovod
    mixed_precision: str = "none"  # or "bfloat16", "float16": what the layers compute in; the weights stay float32
    seed: int = 1
    class_weights: str = "none"  # or "balanced": rare intents weigh in the loss of training as much as frequent ones
    label_smoothing: float = 0.0  # share of each label that is spread over all labels, in the loss of training
    calibrated: bool = True  # are the published probabilities scaled to what validation says of them
    word_dropout: float = 0.0  # share of the tokens of training that the model has to do without, drawn each epoch
    word_swap: float = 0.0  # share of them that change places with their neighbour

    def __post_init__(self) -> None:
        for key in ("label_smoothing", "word_dropout", "word_swap"):
            require(0 <= getattr(self, key) < 1, f"training.{key}", "from 0 to below 1", getattr(self, key))
        for key in ("processes", "epochs", "batch_size"):
            require(getattr(self, key) >= 1, f"training.{key}", "at least 1", getattr(self, key))
        for key in ("early_stopping_epochs", "warmup_epochs", "checkpoint_minutes", "max_restarts", "trace_steps"):
            require(getattr(self, key) >= 0, f"training.{key}", "at least 0", getattr(self, key))
        wanted = f"from 1 to training.processes, {self.processes}"
        require(1 <= self.min_processes <= self.processes, "training.min_processes", wanted, self.min_processes)
        require(self.stall_seconds > 0, "training.stall_seconds", "more than 0", self.stall_seconds)
        require(self.learning_rate > 0, "training.learning_rate", "more than 0", self.learning_rate)
        optimizers = f"one of {' '.join(OPTIMIZERS)}"
        require(self.optimizer in OPTIMIZERS, "training.optimizer", optimizers, self.optimizer)
        for name in UNFIT_OPTIONS.keys() & self.optimizer_options.keys():
            wanted = f"without {name}, as {UNFIT_OPTIONS[name]}"
            require(False, "training.optimizer_options", wanted, dict(self.optimizer_options))
        weights = self.class_weights
        require(weights in ("none", "balanced"), "training.class_weights", "none or balanced", weights)
        wanted = f"one of {' '.join(PRECISIONS)}"
        require(self.mixed_precision in PRECISIONS, "training.mixed_precision", wanted, self.mixed_precision)
        require(self.decay in ("none", "cosine"), "training.decay", "none or cosine", self.decay)
