"""How much memory the processes of a benchmark held at once."""

import threading

import psutil


class Memory(threading.Thread):
    """The most memory, in MB, that this process' children held: Java and Python apart."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = {"java": 0, "python": 0}
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.5):
            held = dict.fromkeys(self.most, 0)
            for process in psutil.Process().children(recursive=True):
                try:
                    kind = "java" if process.name() == "java" else "python"
                    held[kind] += process.memory_full_info().pss >> 20
                except psutil.Error:  # it has ended
                    continue
            self.most = {kind: max(most, held[kind]) for kind, most in self.most.items()}
