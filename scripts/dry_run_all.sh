#!/usr/bin/env bash
# Resolves every configuration in conf/ with a dry run of the jobs it has sections for, so that none of them rots.
set -euo pipefail
cd "$(dirname "$0")/.."

for config in conf/*.toml conf/*/*.toml; do
    jobs="pipeline"
    if grep -q '^\[word_vectors\]' "$config"; then jobs+=" word_vectors"; fi
    if grep -q '^\[registry\]' "$config"; then jobs+=" publish"; fi
    if grep -q '^\[scoring\]' "$config"; then jobs+=" score"; fi
    if grep -q '^\[compare\]' "$config"; then jobs+=" compare"; fi
    for job in $jobs; do
        .venv/bin/python -m "jobs.$job" --config "$config" --dry-run >/dev/null || { echo "check: $job with $config fails" >&2; exit 1; }
    done
    echo "$config resolves for $jobs"
done
