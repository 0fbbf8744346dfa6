"""Which GPU a training process uses: the one that Spark gave it; chosen before TensorFlow is imported."""

import os
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def take_device() -> str:
    """Shows TensorFlow the one GPU of this process and returns its address, "-1" for none."""
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "-1")
    if "HOROVOD_RANK" in os.environ:
        from horovod.spark.task import get_available_devices

        device = choose_device(get_available_devices(), present_gpus(), int(os.environ["HOROVOD_LOCAL_RANK"]))
    os.environ["CUDA_VISIBLE_DEVICES"] = device
    return device


def choose_device(assigned: Sequence[str], present: Sequence[str], local_rank: int) -> str:
    """The GPU of a process, from those that Spark assigned, those that it sees, and its number on this host.

    Spark's choice comes first: local_rank is 0 in every YARN container, and names other GPUs than Spark elsewhere.
    Raises RuntimeError where Spark gives no GPUs and there are fewer than processes on this host.
    """
    if assigned:
        isolated = len(present) == 1 and assigned[0].isdigit()  # the container shows its one GPU as number 0
        return present[0] if isolated else assigned[0]
    if not present:
        return "-1"
    if local_rank >= len(present):
        raise RuntimeError(
            f"process {local_rank + 1} on this host finds {len(present)} GPUs: run fewer processes on a host, "
            "or let Spark hand out GPUs (spark.task.resource.gpu.amount=1)"
        )
    return present[local_rank]


def recurrent_kernel(model: "keras.Model") -> str:
    """Whether the model's LSTM and GRU layers run in cuDNN's kernel, a faster one; "" without such layers.

    Keras falls back to its own loop without a word, so this looks into the graph that it makes.
    """
    import keras
    import tensorflow as tf

    if not any(isinstance(layer, keras.layers.LSTM | keras.layers.GRU) for layer in model._flatten_layers()):
        return ""
    if os.environ["CUDA_VISIBLE_DEVICES"] == "-1":
        return "no (no GPU)"
    graph = tf.function(model).get_concrete_function(tf.TensorSpec([None, None], tf.int32)).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    if any(node.op.startswith("CudnnRNN") for node in nodes):
        return "yes"
    return "no (it has tanh, sigmoid and a bias only, neither recurrent dropout nor unrolling)"


def present_gpus() -> list[str]:
    """Numbers of the GPUs that this process may use, as the driver's own tool lists them; none without it."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:  # the site's or the container's choice
        return [number for number in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if number not in ("", "-1")]
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    except (FileNotFoundError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return []
