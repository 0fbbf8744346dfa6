#!/usr/bin/env bash
# Resolves every configuration in conf/ with a dry run, so that none of them rots.
set -euo pipefail
cd "$(dirname "$0")/.."

for config in conf/*.toml; do
    .venv/bin/python -m jobs.pipeline --config "$config" --dry-run >/dev/null || { echo "check: $config fails" >&2; exit 1; }
    echo "$config resolves"
done
