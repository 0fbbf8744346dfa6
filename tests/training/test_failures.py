"""A failure in one line: the cause, the executors that went with it, what to do."""

from training.failures import explain

YARN = "node7: Container killed by YARN for exceeding physical memory limits. 1.9 GB of 1.5 GB physical memory used."


def test_what_to_do_is_said_last_though_only_a_lost_executor_tells_the_cause() -> None:
    line = explain(RuntimeError("rank 1 is lost with its executor\nmore"), [YARN])
    assert line.startswith(f"rank 1 is lost with its executor; {YARN}: give more memory: spark.executor.memoryOverhead")


def test_a_loss_that_the_failure_names_is_not_said_twice() -> None:
    line = explain(RuntimeError(f"rank 1 is lost; {YARN}"), [YARN, "node8: gone"])
    assert line.startswith(f"rank 1 is lost; {YARN}; node8: gone: give more memory") and line.count(YARN) == 1
