"""One configuration from a file and from overrides; what is wrong in either is named."""

import dataclasses
from pathlib import Path

import pytest
import tomli_w

from jobs.config import AppConfig, ScoringConfig, SparkConfig, describe, load_config
from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.errors import UserError
from training.config import TrainingConfig
from training.registry import RegistryConfig

FILE = """
[corpus]
path = ["a.json", "b.json"]
format = "csv"
options = { sep = ";", header = true, maxColumns = 7 }

[dataset]
max_tokens = 8
max_rejected_fraction = 0

[training]
epochs = 4
learning_rate = 1e-2

[spark]
spark.sql.ansi.enabled = true
"spark.executor.cores" = 4
"""


def written(directory: Path, content: str) -> str:
    (directory / "parley.toml").write_text(content)
    return str(directory / "parley.toml")


def refusal(*overrides: str, file: str | None = None) -> str:
    with pytest.raises(UserError) as error:
        load_config(file, overrides)
    return str(error.value)


def test_a_file_lists_what_differs_from_the_defaults(tmp_path: Path) -> None:
    options = {"sep": ";", "header": "true", "maxColumns": "7"}
    assert load_config(written(tmp_path, FILE)) == AppConfig(
        corpus=CorpusConfig(path=("a.json", "b.json"), format="csv", options=options),
        dataset=DatasetConfig(max_tokens=8, max_rejected_fraction=0.0),
        training=TrainingConfig(epochs=4, learning_rate=0.01),
        spark=SparkConfig({"spark.sql.ansi.enabled": "true", "spark.executor.cores": "4"}),
    )


def test_nothing_at_all_means_the_defaults(tmp_path: Path) -> None:
    assert load_config(None) == load_config(written(tmp_path, "")) == AppConfig()


def test_overrides_win_over_the_file_and_the_last_one_over_all(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, FILE), ["training.epochs=7", "training.epochs=9", "corpus.path=c d.json"])
    assert config.training == TrainingConfig(epochs=9, learning_rate=0.01)
    assert config.corpus.path == ("c d.json",)


@pytest.mark.parametrize(
    ("override", "section", "expected"),
    [
        ("corpus.path=a.json", "corpus", CorpusConfig(path=("a.json",))),
        ("corpus.path=['a=1', 'b']", "corpus", CorpusConfig(path=("a=1", "b"))),
        ("corpus.path=[]", "corpus", CorpusConfig()),
        ("corpus.options={sep = '|'}", "corpus", CorpusConfig(options={"sep": "|"})),
        ("corpus.intent=", "corpus", CorpusConfig(intent="")),
        ("corpus.intent='true'", "corpus", CorpusConfig(intent="true")),
        ("dataset.path=hdfs://host:8020/a#b?c=d", "dataset", DatasetConfig(path="hdfs://host:8020/a#b?c=d")),
        ("dataset.out_of_scope=범위 밖", "dataset", DatasetConfig(out_of_scope="범위 밖")),
        ("training.learning_rate=1", "training", TrainingConfig(learning_rate=1.0)),
        ("training.learning_rate=1e-2", "training", TrainingConfig(learning_rate=0.01)),
        (
            "training.optimizer_options={momentum = 0.9, nesterov = true, ns_steps = 5}",
            "training",
            TrainingConfig(optimizer_options={"momentum": 0.9, "nesterov": True, "ns_steps": 5}),
        ),
        ("training.batch_size = 1_000", "training", TrainingConfig(batch_size=1000)),
        ("registry.version=3", "registry", RegistryConfig(version="3")),
        ("registry.version='3'", "registry", RegistryConfig(version="3")),
        ("registry.version=current", "registry", RegistryConfig(version="current")),
        ("registry.name=챗봇.v-2", "registry", RegistryConfig(name="챗봇.v-2")),
        ("scoring.keep=id", "scoring", ScoringConfig(keep=("id",))),
    ],
)
def test_an_override_is_toml_or_a_bare_string(override: str, section: str, expected: object) -> None:
    assert getattr(load_config(None, [override]), section) == expected


def test_a_whole_number_becomes_the_float_that_is_wanted() -> None:
    assert type(load_config(None, ["training.warmup_epochs=1"]).training.warmup_epochs) is float


@pytest.mark.parametrize(
    ("file", "overrides"),
    [
        ("[spark]\nspark.master = 'local[2]'\nspark.ui.enabled = true", []),
        ("[spark]\n'spark.master' = 'local[2]'\nui.enabled = true", []),
        ("spark.master = 'local[2]'\nspark.ui.enabled = true", []),
        ("", ["spark.master=local[2]", "spark.ui.enabled=true"]),
        ("", ["spark.spark.master=local[2]", "spark.spark.ui.enabled=true"]),
        ("spark.master = 'local[9]'\nspark.ui.enabled = true", ["spark.master=local[2]"]),
    ],
)  # fmt: skip
def test_spark_has_its_own_names_dots_and_all(tmp_path: Path, file: str, overrides: list[str]) -> None:
    config = load_config(written(tmp_path, file), overrides)
    assert config.spark == SparkConfig({"spark.master": "local[2]", "spark.ui.enabled": "true"})


def test_what_is_described_reads_back_as_the_same(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, FILE), ["dataset.path=x y", "corpus.text=말"])
    assert load_config(written(tmp_path, tomli_w.dumps(describe(config)))) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "unknown key training.epoch: did you mean 'epochs'?"),
        ("evaluation.zzz=3", "unknown key evaluation.zzz: known are path, input, minimum_accuracy, minimum_intent_f1"),
        ("trainng.epochs=3", "unknown section [trainng]: did you mean 'training'?"),
        (
            "zzz.epochs=3",
            "unknown section [zzz]: known are corpus, dataset, word_vectors, model, training, evaluation, registry, "
            "scoring, compare, tracking, generator, spark",
        ),
        (
            'spark."spark.ui.enabled"=true',
            'spark."spark.ui.enabled" is no setting of Spark\'s: write it without quotes and spaces',
        ),
        ("training.epochs=three", "training.epochs must be a whole number, found 'three'"),
        ("training.epochs=3.0", "training.epochs must be a whole number, found 3.0"),
        ("training.epochs=true", "training.epochs must be a whole number, found True"),
        ("training.learning_rate=true", "training.learning_rate must be a number, found True"),
        ("training.path=3", "training.path must be a string, found 3"),
        ("corpus.path=[1]", "corpus.path must be a string or a list of strings, found [1]"),
        ("corpus.path=1", "corpus.path must be a string or a list of strings, found 1"),
        ("corpus.options=x", "corpus.options must be a table of options, found 'x'"),
        ("training.optimizer_options=3", "training.optimizer_options must be a table of options, found 3"),
        (
            "training.optimizer_options={momentum = 'x'}",
            "training.optimizer_options must be a table of numbers, true and false, found {'momentum': 'x'}",
        ),
        ("training.epochs", "--set training.epochs: expected section.key=value, for example --set training.epochs=3"),
        ("epochs=3", "--set epochs=3: expected section.key=value, for example --set training.epochs=3"),
        (
            "training.epochs=0",
            "training.epochs must be at least 1, found 0: change it in the configuration or with --set",
        ),
        (
            "corpus.format=xml",
            "corpus.format must be one of json csv tsv parquet orc text table clinc150 3i4k sgd, found 'xml': "
            "change it in the configuration or with --set",
        ),
    ],
)
def test_a_mistake_is_named(override: str, message: str) -> None:
    assert refusal(override) == message


@pytest.mark.parametrize(
    "override",
    [
        "corpus.text=", "dataset.tokenizer=bpe", "dataset.max_tokens=0", "dataset.vocabulary_size=0",
        "dataset.min_count=0", "dataset.files_per_split=0", "dataset.validation_fraction=0",
        "dataset.validation_fraction=0.5", "dataset.test_fraction=0", "dataset.test_fraction=nan",
        "dataset.split_by=day", "dataset.max_characters=0",
        "dataset.max_rejected_fraction=-0.1", "dataset.max_rejected_fraction=1.1", "generator.rows=999",
        "generator.broken_fraction=1", "model.architecture=rnn", "model.units=0", "model.layers=0",
        "model.embedding_size=0", "model.dropout=1", "model.dropout=-0.1", "training.processes=0",
        "training.batch_size=0", "training.word_dropout=1", "training.word_swap=-0.1", "word_vectors.size=0",
        "model.ngrams=0", "model.ngram_buckets=0", "model.ngram_size=0",
        "model.word_vectors_frozen=true", "dataset.typos=1.1", "training.class_weights=x",
        "training.learning_rate=0", "training.warmup_epochs=-1", "training.decay=linear",
        "training.early_stopping_epochs=-1", "training.label_smoothing=1", "training.optimizer=adm",
        "training.optimizer_options={gradient_accumulation_steps = 4}",
        "training.optimizer_options={learning_rate = 1}", "training.optimizer_options={use_ema = true}",
        "training.checkpoint_minutes=-1", "training.max_restarts=-1", "training.min_processes=0",
        "training.min_processes=3", "training.stall_seconds=0", "training.mixed_precision=fp16",
        "evaluation.minimum_accuracy=1.1", "evaluation.minimum_intent_f1=-1",
        "registry.keep_versions=-1", "evaluation.minimum_accuracy=nan", "registry.name=", "registry.name=a/b",
        "registry.name=..", "registry.name=a b", "registry.version=0", "registry.version=-1", "registry.version=latest",
        "scoring.format=xml", "scoring.text=", "dataset.duplicates=drop",
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_named(override: str) -> None:
    assert refusal(override).startswith(f"{override.partition('=')[0]} must be ")


@pytest.mark.parametrize(
    "override",
    ["dataset.max_rejected_fraction=0", "dataset.max_rejected_fraction=1", "generator.broken_fraction=0",
     "model.architecture=my.nets:lstm", "model.dropout=0", "generator.rows=1000", "dataset.validation_fraction=0.49",
     "evaluation.minimum_accuracy=1", "registry.version="],
)  # fmt: skip
def test_the_edge_of_a_range_is_inside(override: str) -> None:
    load_config(None, [override])


@pytest.mark.parametrize("overrides", [[], ["model.units=3"]])
def test_a_value_in_the_place_of_a_section_is_named(tmp_path: Path, overrides: list[str]) -> None:
    message = refusal(*overrides, file=written(tmp_path, "model = 3"))
    assert message == "model = 3: expected a section [model] with keys"


def test_a_file_that_is_not_toml_is_named_with_the_place(tmp_path: Path) -> None:
    file = written(tmp_path, "[model]\nunits: 3\n")
    assert refusal(file=file).startswith(f"--config {file} is not TOML: Expected '=' after a key")
    assert "(at line 2, column 6)" in refusal(file=file)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"[corpus]\ntext = 'caf\xe9'")
    assert refusal(file=f"{tmp_path}/latin.toml").startswith(f"--config {tmp_path}/latin.toml is not TOML: ")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(file=f"{tmp_path}/x") == f"--config {tmp_path}/x cannot be read: No such file or directory"
    assert refusal(file=f"{tmp_path}") == f"--config {tmp_path} cannot be read: Is a directory"


def test_a_configuration_cannot_be_changed() -> None:
    config = AppConfig()
    for section in (config, *[getattr(config, field.name) for field in dataclasses.fields(config)]):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(section, dataclasses.fields(section)[0].name, None)
