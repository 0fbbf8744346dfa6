"""What all ranks do together: through the memory of their machine where they are on one, else through Horovod."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from training.board import Board, open_board

Tensors = list[tf.Tensor]
MEMORY, HOROVOD = "shared memory", "Horovod"
COUNTS = 1 << 20  # bytes, for what else than weights and gradients is added up


class Ranks(NamedTuple):
    """What one rank does with all others, who call the same in the same order."""

    add: Callable[..., Tensors]  # (tensors of one type, name="step") -> their sums over all ranks
    # (whole, rows) -> the sums of `whole`, and of each of `rows` those of all ranks, rank by rank; None: `add`, and one
    # has all the rows
    combine: Callable[[Tensors, Tensors], tuple[Tensors, Tensors]] | None = None
    copy: Callable[[Sequence[tf.Variable]], object] = lambda variables: None  # sets them to what rank 0 has
    way: str = ""  # MEMORY or HOROVOD, where there are several


ALONE = Ranks(lambda tensors, name="step": tensors)


def meet(name: str, weights: Sequence[keras.Variable], in_memory: bool) -> Ranks:
    """All ranks of Horovod's; through memory where all of them are on one machine and want that.

    `name` is of this training alone, `weights` all that the model has. Horovod is then shut down: its thread looks
    once a millisecond for work, and takes a third of a core to find none.
    """
    import horovod.tensorflow as hvd

    rank, number = hvd.rank(), hvd.size()

    def total(own: int) -> int:
        return int(hvd.allreduce(tf.constant(own), op=hvd.Sum, name="meet"))

    board = None
    if number > 1 and total(int(in_memory)) == number:
        rows = sum(variable.shape[0] for variable in weights if variable.shape)  # the word of each
        size = sum(int(np.prod(variable.shape)) for variable in weights) + rows
        board = open_board(name, rank, number, 8 * size + COUNTS, total)  # 8 bytes hold a number of any type
    if number > 1 and not board:
        return by_horovod(number)
    hvd.shutdown()
    return by_memory(board) if board else ALONE


def by_memory(board: Board) -> Ranks:
    """Everything on the board, in the order of the program, which a graph would not keep by itself."""
    last: list[tf.Operation] = []  # of the graph that is being made

    def combine(whole: Tensors, rows: Tensors) -> tuple[Tensors, Tensors]:
        own, graph = [*whole, *rows], tf.compat.v1.get_default_graph()
        with tf.control_dependencies([operation for operation in last if operation.graph is graph]):
            exchange = partial(_combined, board, len(whole))
            parts = tf.numpy_function(exchange, own, [part.dtype for part in own], name="exchange")
        parts = tf.nest.flatten(parts)  # without a graph one part is no list
        for part, like in zip(parts, own, strict=True):
            part.set_shape(like.shape)
        if not tf.executing_eagerly():
            last[:] = [parts[0].op]
        return parts[: len(whole)], parts[len(whole) :]

    def copy(variables: Sequence[tf.Variable]) -> None:
        for variable in variables:
            variable.assign(board.of_first(variable.numpy()))

    return Ranks(lambda tensors, name="step": combine(tensors, [])[0], combine, copy, MEMORY)


def _combined(board: Board, number: int, *parts: np.ndarray) -> list[np.ndarray]:
    own = [np.asarray(part) for part in parts]
    return board.combine(own[:number], own[number:])


def by_horovod(number: int) -> Ranks:
    """Everything through Horovod; a name, the same on all ranks, tells one exchange from another."""
    import horovod.tensorflow as hvd

    combine = partial(_in_one, number) if number == 2 else _in_several
    return Ranks(_add, combine, partial(hvd.broadcast_variables, root_rank=0), HOROVOD)


def _add(tensors: Tensors, name: str = "step") -> Tensors:
    """Sums over all ranks, travelling as one vector: a step costs one exchange, whatever the number of weights."""
    import horovod.tensorflow as hvd

    flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
    total = hvd.allreduce(flat, op=hvd.Sum, name=name, ignore_name_scope=True)
    parts = tf.split(total, [int(np.prod(tensor.shape)) for tensor in tensors])
    return [tf.reshape(part, tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def _gather(rows: tf.Tensor, name: str) -> tf.Tensor:
    """The rows of all ranks, rank by rank."""
    import horovod.tensorflow as hvd

    return hvd.allgather(rows, name=name, ignore_name_scope=True)


def _in_several(whole: Tensors, rows: Tensors) -> tuple[Tensors, Tensors]:
    """One exchange for the sums, and one for each of `rows`."""
    return _add(whole), [_gather(own, f"rows.{number}") for number, own in enumerate(rows)]


def _in_one(number: int, whole: Tensors, rows: Tensors) -> tuple[Tensors, Tensors]:
    """The same by one gathering, in which each rank gets all that the others have: of two, no more than a sum takes.

    An exchange costs a millisecond or two, however little travels.
    """
    if not rows:
        return _add(whole), rows
    counts = tf.bitcast(tf.stack([tf.shape(own)[0] for own in rows]), tf.float32)
    own = tf.concat([tf.reshape(part, [-1]) for part in (counts, *whole, *rows)], 0)
    rest, received = _gather(own, "step"), []
    for _ in range(number):
        counts = tf.bitcast(rest[: len(rows)], tf.int32)
        sizes = [int(np.prod(part.shape)) for part in whole]
        sizes += [counts[place] * math.prod(part.shape[1:]) for place, part in enumerate(rows)]
        _, *parts, rest = tf.split(rest, [len(rows), *sizes, -1])
        received.append([tf.reshape(part, [-1, *like.shape[1:]]) if like.shape.rank else part[0]
                         for part, like in zip(parts, [*whole, *rows], strict=True)])  # fmt: skip
    columns = list(zip(*received, strict=True))
    return [tf.add_n(parts) for parts in columns[: len(whole)]], [
        tf.concat(parts, 0) for parts in columns[len(whole) :]
    ]
