"""What a few steps are made of: TensorFlow's profile and Horovod's timeline, put into the run at its end.

Not before: while rank 0 waits for a store, all others would wait for its step.
"""

import tempfile
from pathlib import Path

import tensorflow as tf

from preprocessing import storage
from training.ranks import HOROVOD

WARM = 20  # steps before, among which those that make TensorFlow's functions
DIRECTORY = "traces"  # of the run: a log directory of TensorBoard's, and timeline.json for Perfetto
TIMELINE = "timeline.json"


class Trace:
    """Watches so many steps of this process, which is rank 0, once it is warm."""

    def __init__(self, run: str, steps: int, way: str) -> None:
        self.run, self.first, self.last, self.by_horovod = run, WARM + 1, WARM + steps, way == HOROVOD
        self.number = 0
        self.directory: tempfile.TemporaryDirectory[str] | None = None
        self.running = False

    def next_step(self) -> None:
        """The step that begins now."""
        self.number += 1
        if self.number == self.first:
            self.directory, self.running = tempfile.TemporaryDirectory(prefix="parley-trace-"), True
            tf.profiler.experimental.start(self.directory.name)
            if self.by_horovod:
                import horovod.tensorflow as hvd

                hvd.start_timeline(f"{self.directory.name}/{TIMELINE}")
        elif self.number == self.last + 1:
            self._stop()

    def _stop(self) -> None:
        if not self.running:
            return
        self.running = False
        tf.profiler.experimental.stop()
        if self.by_horovod:
            import horovod.tensorflow as hvd

            hvd.stop_timeline()

    def close(self) -> None:
        """What was watched is in the run as soon as this returns."""
        if not self.directory:
            return
        self._stop()
        storage.remove(f"{self.run}/{DIRECTORY}")
        storage.upload(Path(self.directory.name), f"{self.run}/{DIRECTORY}")
        self.directory.cleanup()
        self.directory = None
