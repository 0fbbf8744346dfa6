"""The names of sections and keys, which users have in their files."""

import dataclasses

from jobs.config import AppConfig

# Every name that users may have in their files. A name that is added stays for years: think before adding one here.
NAMES = """
corpus.path corpus.format corpus.options corpus.text corpus.intent corpus.dialog_id corpus.turn corpus.speaker
corpus.split corpus.language corpus.slice corpus.date
dataset.path dataset.tokenizer dataset.max_tokens dataset.max_characters dataset.mask dataset.vocabulary_size
dataset.context_turns dataset.min_count dataset.vocabulary dataset.validation_fraction dataset.test_fraction
dataset.split_by dataset.split_salt dataset.out_of_scope dataset.files_per_split dataset.max_rejected_fraction
dataset.duplicates dataset.reference dataset.typos
word_vectors.path word_vectors.size word_vectors.window word_vectors.min_count word_vectors.epochs word_vectors.seed
model.architecture model.embedding_size model.units model.layers model.dropout model.recurrent_dropout model.ngrams
model.ngram_buckets model.ngram_size model.word_vectors model.word_vectors_frozen
training.path training.processes training.epochs training.batch_size training.optimizer training.optimizer_options
training.learning_rate training.warmup_epochs training.decay training.early_stopping_epochs training.start_from
training.checkpoint_minutes training.max_restarts training.min_processes training.stall_seconds training.trace_steps
training.shared_memory training.mixed_precision training.seed training.class_weights training.label_smoothing
training.calibrated
training.word_dropout training.word_swap
evaluation.path evaluation.input evaluation.minimum_accuracy evaluation.minimum_intent_f1
registry.path registry.name registry.version registry.keep_versions
scoring.input scoring.output scoring.format scoring.text scoring.keep
compare.path compare.grid compare.seeds compare.trials compare.halving
tracking.uri tracking.experiment
generator.rows generator.seed generator.broken_fraction spark.conf
"""


def test_no_option_is_added_without_thought() -> None:
    sections = {section.name: getattr(AppConfig(), section.name) for section in dataclasses.fields(AppConfig)}
    found = [f"{name}.{key.name}" for name, section in sections.items() for key in dataclasses.fields(section)]
    assert found == NAMES.split()
