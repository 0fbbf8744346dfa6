"""Spark's choice of a GPU comes first; the number on the host only where Spark gives none."""

import pytest

from training.config import ModelConfig
from training.device import choose_device, recurrent_kernel


@pytest.mark.parametrize(
    ("assigned", "present", "local_rank", "chosen"),
    [
        (["3"], ["0", "1", "2", "3"], 0, "3"),
        (["1", "2"], [], 0, "1"),
        (["3"], ["0"], 0, "0"),  # an isolated container shows its one GPU as number 0
        (["GPU-5d3f"], ["0"], 0, "GPU-5d3f"),
        ([], ["0", "1"], 1, "1"),
        ([], [], 1, "-1"),
    ],
)
def test_the_device(assigned: list[str], present: list[str], local_rank: int, chosen: str) -> None:
    assert choose_device(assigned, present, local_rank) == chosen


def test_more_processes_than_gpus_are_refused_instead_of_sharing_one() -> None:
    with pytest.raises(RuntimeError, match=r"process 3 on this host finds 2 GPUs: run fewer"):
        choose_device([], ["0", "1"], 2)


@pytest.mark.tensorflow
def test_the_kernel_is_what_is_in_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    from training.zoo import ZOO

    lstm, fasttext = (ZOO[name](ModelConfig(embedding_size=4, units=4), 9, 2) for name in ("bilstm", "fasttext"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert (recurrent_kernel(lstm), recurrent_kernel(fasttext)) == ("no (no GPU)", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # which this TensorFlow, built for CPUs, cannot use
    assert recurrent_kernel(lstm).startswith("no (it has tanh")
