"""Adam for the embedding of a large vocabulary: a step computes only the rows of its own words, with the same results.

Of a row whose word does not come, the gradient is zero and the moments decay, so that what it missed is known when
the word comes again. With the moments m and v of step t, when it last came, s = sqrt(v), and n steps since, of rates
r[t + 1] to r[t + n],

    m, v    ->  m b1^n, v b2^n
    weight  ->  weight - sum over j of  r[t + j] m b1^j / (s b2^(j/2) + epsilon)

and with D = 1 / (s + epsilon) the sum is a series,

    m D  sum over k of  (s D)^k M[t, k],    M[t, k] = sum over j of  r[t + j] b1^j (1 - b2^(j/2))^k,

whose numbers M are the same for all rows of one t, and whose terms behind the fourth are less than float32 tells. (That
rows may wait is old, as in Carpenter 2008, Lazy Sparse Stochastic Gradient Descent; the series is not from there.)

V words, U of them in a step, E numbers in a row.
"""

import math

import keras
import numpy as np
import tensorflow as tf

TERMS = 4
PRECISION = 1e-7  # beside the whole of what a row missed
PERIOD = 4000  # steps, after which all rows catch up: M is kept for as many t
PADDED = 512  # U and rows of a gradient, to a multiple of so many: XLA compiles its code anew for each
PART = 128  # of the U rows are computed at once: they are still in the processor's cache when they are written
NOWHERE = -1  # the word, and the place, of a row that is only there for that: XLA writes it nowhere


def missed_shares(beta_1: float, beta_2: float) -> np.ndarray | None:
    """What a step adds to M[t, k] at a rate of 1, float64 [N, TERMS], for j from 1 to N, behind which it is none.

    None where the series is not precise enough.
    """
    if not 0 < beta_1 < 1 or not 0 < beta_2 < 1:
        return None
    steps = np.arange(1, math.ceil(math.log(PRECISION / 10, beta_1)) + 1)[:, np.newaxis]
    decay, shrunk = beta_1**steps, beta_2 ** (steps / 2)
    rest = decay * (1 - shrunk) ** TERMS / shrunk
    if rest.sum() > PRECISION * decay.sum():
        return None
    shares: np.ndarray = decay * (1 - shrunk) ** np.arange(TERMS)
    return shares


class Lag:
    """What each row of an embedding misses, as part of its optimizer's state."""

    def __init__(self, optimizer: keras.optimizers.Adam, weight: tf.Variable, moments: tuple[tf.Variable, ...]) -> None:
        shares = missed_shares(optimizer.beta_1, optimizer.beta_2)
        if shares is None:
            raise ValueError(f"no series for beta_1 = {optimizer.beta_1} and beta_2 = {optimizer.beta_2}")
        self.shares = tf.constant(shares[::-1], tf.float32)
        self.options = optimizer.beta_1, optimizer.beta_2, optimizer.epsilon
        clock = optimizer.add_variable([], "zeros", "int32", name="clock")
        current = optimizer.add_variable([weight.shape[0]], "zeros", "int32", name="current")
        # M[t], behind as many rows as there are shares, so that the first steps need no other code
        missed = optimizer.add_variable([len(shares) + PERIOD + 1, TERMS], "zeros", "float32", name="missed")
        self.clock = clock.value  # steps since all rows were caught up
        self.state = *moments, current.value, self.clock, missed.value  # current: the step t of each row
        self.weight = weight

    def rows(self, words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Words [U], padded, and their rows [U + padding, E] as they are now; nothing is written.

        A word that is none fails as in Keras, and not as in XLA, which would take the last one for it.
        """
        words = tf.pad(words, [[0, -tf.size(words) % PADDED]])
        return words, _rows(tf.gather(self.weight, words), words, *self.state, *self.options)

    def update(self, gradient: tf.IndexedSlices, rate: tf.Tensor) -> None:
        """A step of Adam, at a rate that has the corrections for its beginning; rows of one word are added up."""
        words, places = tf.unique(gradient.indices)
        words = tf.pad(words, [[0, -tf.size(words) % PADDED]], constant_values=NOWHERE)
        padding = -tf.size(places) % PADDED
        places = tf.pad(places, [[0, padding]], constant_values=NOWHERE)
        values = tf.pad(gradient.values, [[0, padding], [0, 0]])
        _update(words, places, values, rate, self.shares, self.weight, *self.state, *self.options)
        tf.cond(self.clock >= PERIOD, self.catch_up, lambda: None)

    def catch_up(self) -> None:
        """All rows miss nothing any more."""
        _catch_up(self.weight, *self.state, *self.options)


def _caught_up(
    weight: tf.Tensor, momentum: tf.Tensor, velocity: tf.Tensor, current: tf.Tensor, clock: tf.Variable,
    missed: tf.Variable, beta_1: float, beta_2: float, epsilon: float,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:  # fmt: skip
    """Rows [U, E] and their moments as they are now, of how they were at step `current` [U]."""
    sums = tf.gather(missed, current + (missed.shape[0] - PERIOD - 1))[:, tf.newaxis]
    root = tf.sqrt(velocity)
    each = 1 / (root + epsilon)
    share, total = root * each, sums[..., TERMS - 1]
    for term in reversed(range(TERMS - 1)):
        total = sums[..., term] + share * total
    steps = tf.cast(clock - current, tf.float32)[:, tf.newaxis]
    return weight - momentum * each * total, momentum * tf.pow(beta_1, steps), velocity * tf.pow(beta_2, steps)


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _rows(
    weight: tf.Tensor, words: tf.Tensor, momentum: tf.Variable, velocity: tf.Variable, current: tf.Variable,
    clock: tf.Variable, missed: tf.Variable, *options: float,
) -> tf.Tensor:  # fmt: skip
    """`weight` are the rows as they were last written."""
    momentum, velocity, current = (tf.gather(variable, words) for variable in (momentum, velocity, current))
    return _caught_up(weight, momentum, velocity, current, clock, missed, *options)[0]


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _update(
    words: tf.Tensor, places: tf.Tensor, values: tf.Tensor, rate: tf.Tensor, shares: tf.Tensor, weight: tf.Variable,
    momentum: tf.Variable, velocity: tf.Variable, current: tf.Variable, clock: tf.Variable, missed: tf.Variable,
    beta_1: float, beta_2: float, epsilon: float,
) -> None:  # fmt: skip
    """`places` are those of the values' words among `words`, each of which comes once; those that are NOWHERE are last.

    XLA writes the rows in their places, unless somebody holds what was read of a variable.
    """
    gradient = tf.math.unsorted_segment_sum(values, places, tf.shape(words)[0])
    parts = [
        tf.reshape(numbers, [-1, PART, *numbers.shape[1:]]) for numbers in (words, tf.gather(current, words), gradient)
    ]
    count = tf.math.count_nonzero(words != NOWHERE, dtype=tf.int32)
    account = tf.identity(clock), tf.identity(missed)  # a loop would hold on to variables, also for another model's

    def write(number: tf.Tensor, *tables: tf.Tensor) -> tuple[tf.Tensor, ...]:
        here, step, slope = (tf.gather(part, number) for part in parts)
        row, first, second = (tf.gather(table, here) for table in tables)
        row, first, second = _caught_up(row, first, second, step, *account, beta_1, beta_2, epsilon)
        first = beta_1 * first + (1 - beta_1) * slope
        second = beta_2 * second + (1 - beta_2) * tf.square(slope)
        row -= rate * first / (tf.sqrt(second) + epsilon)
        changed = zip(tables, (row, first, second), strict=True)
        return number + 1, *(tf.tensor_scatter_nd_update(table, here[:, tf.newaxis], to) for table, to in changed)

    variables = weight, momentum, velocity
    begin = 0, *map(tf.identity, variables)
    _, *tables = tf.while_loop(lambda number, *_: number * PART < count, write, begin)
    for variable, table in zip(variables, tables, strict=True):
        variable.assign(table)
    now = clock.assign_add(1)
    current.assign(tf.tensor_scatter_nd_update(current, words[:, tf.newaxis], tf.fill(tf.shape(words), now)))
    recent = now + tf.range(shares.shape[0])  # places in `missed` of the steps before this one
    missed.assign(tf.tensor_scatter_nd_add(missed, recent[:, tf.newaxis], rate * shares))


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _catch_up(
    weight: tf.Variable, momentum: tf.Variable, velocity: tf.Variable, current: tf.Variable, clock: tf.Variable,
    missed: tf.Variable, *options: float,
) -> None:  # fmt: skip
    rows = _caught_up(weight, momentum, velocity, current, clock, missed, *options)
    for variable, value in zip((weight, momentum, velocity), rows, strict=True):
        variable.assign(value)
    for variable in (current, clock, missed):
        variable.assign(tf.zeros_like(variable))
