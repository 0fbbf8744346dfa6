"""A training whose processes are struck by faults, and what must hold after it."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import psutil

from training.checkpoint import read_checkpoint, read_history
from training.config import ModelConfig, TrainingConfig

TIMES = dict.fromkeys(("seconds", "examples_per_second", "input_share"), 0)
NGRAMS = {"ngrams": 2, "ngram_buckets": 500, "ngram_size": 4}  # whose rows wait for their words (training/lag.py)
MODEL = ModelConfig(embedding_size=8, units=32, dropout=0.2, **NGRAMS)
TRAINING = TrainingConfig(
    epochs=3, batch_size=7, learning_rate=0.01, processes=2, stall_seconds=8, checkpoint_minutes=1e-6, max_restarts=5,
    optimizer_options={"epsilon": 1e-5},  # with less, a gradient that is nothing but rounding moves a rare run's vector
)  # fmt: skip

# An architecture of a user's: the LSTM, with a layer that strikes its process in a training step. Of the faults, a file
# each that names rank, function and the process' step, the first one that is left strikes, and is gone, or stays.
FAULTY = """
import errno, os, resource, signal, threading, time
from pathlib import Path
import keras, psutil, tensorflow as tf
from training.zoo import lstm

DIRECTORY = Path({directory!r})
RANK = int(os.environ.get("HOROVOD_RANK", "0"))  # the driver imports this too
steps, faults = 0, []

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def freeze():
    os.kill(os.getpid(), signal.SIGSTOP)

def terminate():
    os.kill(os.getpid(), signal.SIGTERM)

def sleep_for_ever():
    time.sleep(1e9)

def throw():
    raise ArithmeticError("this rank cannot count")

def fill_the_disk():  # no file may grow beyond so many bytes: a report fits, a checkpoint does not
    resource.setrlimit(resource.RLIMIT_FSIZE, (16000, 16000))

def lose_the_executor():  # for good: no other one starts without this file
    (DIRECTORY / "java-options").unlink()
    next(process for process in psutil.Process().parents() if process.name() == "java").kill()
    time.sleep(1e9)

def fill(disk):
    with (DIRECTORY / disk / "ballast").open("ab", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC, error

def keep_the_disk_full():  # as long as this process lives: what it gives back is taken too
    def go_on():
        while True:
            fill("full")
            time.sleep(0.01)
    fill("full")
    threading.Thread(target=go_on, daemon=True).start()

def freeze_the_jvm():  # its Python processes go on
    next(process for process in psutil.Process().parents() if process.name() == "java").suspend()

def lose_the_machine():  # the worker's daemon and all that it started, which another process has to continue
    daemon = [process for process in psutil.Process().parents() if process.name() == "java"][-1]
    tree = [daemon, *daemon.children(recursive=True)]
    (DIRECTORY / "lost-machine").write_text(" ".join(str(process.pid) for process in tree))
    for process in sorted(tree, key=lambda process: process.pid == os.getpid()):  # this one last
        process.suspend()

def strike():
    global steps, faults
    steps += 1
    if steps == 1:
        (DIRECTORY / f"pid-{{os.getpid()}}").touch()
        faults = sorted(DIRECTORY.glob("fault-*"))[:1]  # before another rank takes it away
    for file in faults:
        _, _, rank, name, step, life = file.name.split("-")
        if (RANK, steps) == (int(rank), int(step)):
            if life == "once":
                file.unlink()
            globals()[name]()

class Struck(keras.layers.Layer):
    def call(self, inputs, training=False):
        if not training:
            return inputs
        with tf.control_dependencies([tf.py_function(strike, [], [])]):
            return tf.identity(inputs)

def build(config, vocabulary_size, num_labels):
    model = lstm(config, vocabulary_size, num_labels)
    return keras.Model(model.input, Struck()(model.output))
"""


def faulty(directory: Path, *faults: str) -> ModelConfig:
    """The model with these faults, each `rank-function-step-once` or `rank-function-step-always`."""
    module = f"faulty_{directory.name}"
    (directory / f"{module}.py").write_text(FAULTY.format(directory=str(directory)))
    for number, fault in enumerate(faults):
        (directory / f"fault-{number:02d}-{fault}").touch()
    return dataclasses.replace(MODEL, architecture=f"{module}:build")


def assert_no_process_is_left(directory: Path) -> None:
    pids = [int(file.name.removeprefix("pid-")) for file in directory.glob("pid-*")]
    assert pids
    deadline = time.monotonic() + 20  # until those are gone that Horovod ends with grace
    while any(psutil.pid_exists(pid) for pid in pids):
        assert time.monotonic() < deadline, [pid for pid in pids if psutil.pid_exists(pid)]
        time.sleep(0.2)


def assert_same_runs(struck: Path, spared: Path) -> None:
    """To the last bit, but for the time that they took."""
    for one, other in zip(*(read_checkpoint(run.as_uri()).weights for run in (struck, spared)), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(*(read_history(run.as_uri()) for run in (struck, spared)), strict=True):
        assert {**one, **TIMES} == {**other, **TIMES}
