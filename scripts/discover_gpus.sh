#!/usr/bin/env bash
# Prints the GPUs of this node as Spark wants to be told (spark.{executor,worker,driver}.resource.gpu.discoveryScript).
# A node that shows a container one of its GPUs lists that one only, as nvidia-smi does there.
set -euo pipefail

command -v nvidia-smi >/dev/null || { echo "discover_gpus: no nvidia-smi on $(hostname): has the node a GPU and its driver?" >&2; exit 1; }
addresses=$(nvidia-smi --query-gpu=index --format=csv,noheader | sed 's/.*/"&"/' | paste -sd, -)
[ -n "$addresses" ] || { echo "discover_gpus: nvidia-smi lists no GPU on $(hostname)" >&2; exit 1; }
printf '{"name": "gpu", "addresses": [%s]}\n' "$addresses"
