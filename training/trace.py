"""What a few steps are made of: TensorFlow's profile and Horovod's timeline, put into the run when they are done."""

import tempfile
from pathlib import Path

import tensorflow as tf

from preprocessing import storage

WARM = 20  # steps before, among which those that make TensorFlow's functions
DIRECTORY = "traces"  # of the run: a log directory of TensorBoard's, and timeline.json for Perfetto
TIMELINE = "timeline.json"


class Trace:
    """Watches so many steps of this process, which is rank 0, once it is warm."""

    def __init__(self, run: str, steps: int, processes: int) -> None:
        self.run, self.first, self.last, self.processes = run, WARM + 1, WARM + steps, processes
        self.number = 0
        self.directory: tempfile.TemporaryDirectory[str] | None = None

    def next_step(self) -> None:
        """The step that begins now."""
        self.number += 1
        if self.number == self.first:
            self.directory = tempfile.TemporaryDirectory(prefix="parley-trace-")
            tf.profiler.experimental.start(self.directory.name)
            if self.processes > 1:
                import horovod.tensorflow as hvd

                hvd.start_timeline(f"{self.directory.name}/{TIMELINE}")
        elif self.number > self.last:
            self.close()

    def close(self) -> None:
        """The end of what is watched, in the run as soon as this returns."""
        if not self.directory:
            return
        tf.profiler.experimental.stop()
        if self.processes > 1:
            import horovod.tensorflow as hvd

            hvd.stop_timeline()
        storage.remove(f"{self.run}/{DIRECTORY}")
        storage.upload(Path(self.directory.name), f"{self.run}/{DIRECTORY}")
        self.directory.cleanup()
        self.directory = None
