#!/usr/bin/env python3
"""Time the start of a training: from the process's start to its first step.

Usage:
  cargo build --release
  scripts/bench_start.py --binary target/release/atypical --config configs/train/rq_nsf_fmnist.yaml

That is reading the data, drawing the weights and ActNorm's first batch. The run writes its config.yaml when all of that is done.
The data are under DATA_DIR, as for `train` itself.
"""

import argparse
import os
import pathlib
import subprocess
import tempfile
import time

from paired import spread


def seconds(binary, config):
    with tempfile.TemporaryDirectory() as folder:
        ready = pathlib.Path(folder, "start", "config.yaml")
        command = [binary, "train", "--config", config, "--run", "start", "--quiet"]
        start = time.perf_counter()
        process = subprocess.Popen(command, env=os.environ | {"MODEL_DIR": folder})
        while not ready.exists():
            if process.poll() is not None:
                raise SystemExit(f"exit status {process.returncode}: {' '.join(command)}")
            time.sleep(0.001)
        elapsed = time.perf_counter() - start
        process.kill()
        process.wait()
        return elapsed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, help="atypical, built with --release")
    parser.add_argument("--config", required=True, help="a training configuration")
    parser.add_argument("--turns", type=int, default=7, help="starts [default: 7]")
    args = parser.parse_args()
    times = [seconds(args.binary, args.config) for _ in range(args.turns)]
    print(f"{args.turns} starts; seconds, median, min, max: {spread(times)}")


if __name__ == "__main__":
    main()
