#!/bin/sh
# Make the Python environment that the tests of the trackers run the real programs in: at $TRACKERS_VENV, by default target/trackers-venv.
set -eu
cd "$(dirname "$0")/.."
venv="${TRACKERS_VENV:-target/trackers-venv}"
python3 -m venv "$venv"
# uv takes seconds where pip takes minutes.
"$venv/bin/pip" install --quiet uv
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --requirement scripts/trackers.txt
