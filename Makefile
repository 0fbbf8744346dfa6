# Parley: everything a developer types. CORPUS and DATA belong to `make demo`.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-faults test-cluster test-spark35 check bench-preprocess bench-train bench-score lock clean

CORPUS ?= shop
DATA ?=
PYTEST = .venv/bin/python -m pytest

help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## prepare .venv: pinned packages, the Horovod wheel, Parley itself
	@scripts/setup.sh

demo: setup  ## the whole way on a corpus: CORPUS=shop|clinc150|3i4k|sgd, DATA=directory of a local copy
	@scripts/demo.sh "$(CORPUS)" "$(DATA)"

test: setup  ## all tests that need no cluster: two files at a time, but trainings, which have two processes, one by one
	$(PYTEST) tests -m "not cluster and not horovod" -n 2 --dist loadfile
	$(PYTEST) tests -m "not cluster and horovod" --durations=15

test-cluster: setup  ## the tests against real servers, which they start and stop: two files at a time
	$(PYTEST) tests/cluster -n 2 --dist loadfile --durations=15

test-faults: setup  ## one training that is killed twenty times (6 minutes)
	$(PYTEST) tests/training/test_faults.py -m cluster

test-fast: setup  ## only the tests without JVM, TensorFlow and browser
	$(PYTEST) tests -m "not spark and not tensorflow and not horovod and not browser and not cluster"

test-spark35:  ## all tests that need no cluster, with Spark 3.5 in .venv-spark35
	@scripts/setup.sh .venv-spark35 constraints-spark35.txt
	.venv-spark35/bin/python -m pytest tests -m "not cluster"

check: setup  ## style, types, import contracts, and a dry run of every configuration
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy jobs training preprocessing
	.venv/bin/lint-imports
	@scripts/dry_run_all.sh

bench-preprocess: setup  ## preprocessing beside Spark SQL and plain Python: ROWS="1650000 16500000"
	.venv/bin/python scripts/bench/preprocess.py --rows $(or $(ROWS),1650000)

bench-train: setup  ## training beside plain Keras, the bare step, PyTorch (in .venv-torch, 6 GB) and KerasEstimator
	.venv/bin/python scripts/bench/train.py

bench-score: setup  ## scoring beside Keras predict and the saved model in process, with the model of the clinc150 demo
	.venv/bin/python scripts/bench/score.py

lock:  ## renew the constraints files from pyproject.toml
	@scripts/lock.sh

clean:  ## remove what the demo and the tests leave
	rm -rf data build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
