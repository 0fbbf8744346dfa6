"""Examples in, model out: the driver's side of Horovod on Spark, and the worker's."""
