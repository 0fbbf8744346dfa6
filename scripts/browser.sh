#!/usr/bin/env bash
# Says where a Chromium is, which the tests of the pages look through; installs one where there is none.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf 'browser: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }

. scripts/apt.sh

find_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

find_browser || { apt_install Chromium chromium; find_browser; }
