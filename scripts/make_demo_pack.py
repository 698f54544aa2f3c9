#!/usr/bin/env python3
"""Make the images that `atypical demo` trains and tests on: datasets/demo/*.gz, idx files as MNIST publishes them.

Usage: scripts/make_demo_pack.py DATA_DIR   (DATA_DIR/fashion-mnist and DATA_DIR/mnist hold the original idx .gz files)
Needs numpy. The same input gives the same bytes.
"""

import gzip
import hashlib
import io
import pathlib
import struct
import sys

import numpy as np

TRAIN, TEST = 7500, 500
OUT = pathlib.Path(__file__).resolve().parent.parent / "assets" / "demo"


def read(path):
    raw = gzip.decompress(path.read_bytes())
    dims = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(dims)


def write(name, array):
    raw = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(raw)
    (OUT / name).write_bytes(buffer.getvalue())
    print(f"{hashlib.md5(buffer.getvalue()).hexdigest()}  {name}  {array.shape}  {len(buffer.getvalue()):,} bytes")


def balanced(labels, count, rng):
    """Indices of `count` samples, the same number of each class, in random order."""
    chosen = [rng.permutation(np.flatnonzero(labels == c))[: count // 10] for c in range(10)]
    return rng.permutation(np.concatenate(chosen))


def main():
    data = pathlib.Path(sys.argv[1])
    rng = np.random.default_rng(0)
    OUT.mkdir(parents=True, exist_ok=True)
    for name, folder, split, count in [
        ("train", "fashion-mnist", "train", TRAIN),
        ("test", "fashion-mnist", "t10k", TEST),
        ("ood", "mnist", "t10k", TEST),
    ]:
        images = read(data / folder / f"{split}-images-idx3-ubyte.gz")
        labels = read(data / folder / f"{split}-labels-idx1-ubyte.gz")
        index = balanced(labels, count, rng)
        write(f"{name}-images-idx3-ubyte.gz", images[index])
        write(f"{name}-labels-idx1-ubyte.gz", labels[index])


if __name__ == "__main__":
    main()
