"""Write datasets/tests/goldens/formats/: tiny files in the formats that CIFAR, SVHN and Omniglot are published in.

    python scripts/reference/format_fixtures.py        # numpy, scipy, pillow

The pickles of CIFAR-10 are written as Python 2's cPickle wrote the original ones, opcode by opcode; those of CIFAR-100 as Python 3 does with protocol 2.
"""

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

OUT = Path(__file__).resolve().parents[2] / "tests" / "goldens" / "formats"


def cifar(*images):
    """Images by number, [N, 3072]."""
    return np.array([[(i * 17 + j) % 256 for j in range(3072)] for i in images], dtype=np.uint8)


class Python2:
    """cPickle of Python 2, protocol 2, for what the original files hold."""

    def __init__(self):
        self.memo = 0

    def put(self):
        self.memo += 1
        return b"q" + bytes([self.memo])

    def string(self, s):
        return b"U" + bytes([len(s)]) + s if len(s) < 256 else b"T" + struct.pack("<i", len(s)) + s

    def name(self, s):
        return self.string(s) + self.put()

    def int(self, i):
        return b"K" + bytes([i]) if 0 <= i < 256 else b"M" + struct.pack("<H", i) if 0 <= i < 65536 else b"J" + struct.pack("<i", i)

    def list(self, items):
        return b"]" + self.put() + b"(" + b"".join(items()) + b"e"

    def array(self, a):
        out = b"cnumpy.core.multiarray\n_reconstruct\n" + self.put() + b"cnumpy\nndarray\n" + self.put()
        out += self.int(0) + b"\x85" + self.string(b"b") + b"\x87R" + self.put()
        out += b"(" + self.int(1) + self.int(a.shape[0]) + self.int(a.shape[1]) + b"\x86"
        out += b"cnumpy\ndtype\n" + self.put() + self.string(b"u1") + self.int(0) + self.int(1) + b"\x87R" + self.put()
        out += b"(" + self.int(3) + self.string(b"|") + b"NNN" + self.int(-1) + self.int(-1) + self.int(0) + b"tb"
        return out + b"\x89" + self.string(a.tobytes()) + b"tb"

    def batch(self, data, labels, name):
        out = b"\x80\x02}" + self.put() + b"("
        out += self.name(b"data") + self.array(data)
        out += self.name(b"labels") + self.list(lambda: [self.int(i) for i in labels])
        out += self.name(b"batch_label") + self.name(name)
        out += self.name(b"filenames") + self.list(lambda: [self.name(b"picture_%d.png" % i) for i in labels])
        return out + b"u."


def tar_gz(name, files):
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    (OUT / name).write_bytes(gzip.compress(tar.getvalue(), mtime=0))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    files = {f"cifar-10-batches-py/data_batch_{i + 1}": Python2().batch(cifar(i), [i], b"training batch %d of 5" % (i + 1)) for i in range(5)}
    files["cifar-10-batches-py/test_batch"] = Python2().batch(cifar(9), [9], b"testing batch 1 of 1")
    tar_gz("cifar-10-python.tar.gz", files)

    def hundred(data):
        batch = {b"filenames": [b"a.png", b"b.png"], b"batch_label": b"x", b"fine_labels": [99, 42], b"coarse_labels": [0, 19], b"data": data}
        return pickle.dumps(batch, protocol=2)

    data = cifar(0, 1)
    tar_gz("cifar-100-python.tar.gz", {"cifar-100-python/train": hundred(data), "cifar-100-python/test": hundred(np.asfortranarray(data))})

    row, column, channel, image = np.meshgrid(*map(np.arange, (32, 32, 3, 3)), indexing="ij")
    x = (image * 50 + channel * 20 + row * 3 + column).astype(np.uint8)
    y = np.array([[1], [10], [5]])
    scipy.io.savemat(OUT / "train_32x32.mat", {"X": x, "y": y.astype(np.uint8)}, do_compression=True)
    scipy.io.savemat(OUT / "doubles.mat", {"X": x, "y": y.astype(float)}, do_compression=False)

    for path in OUT.glob("*.mat"):  # without the date
        path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + path.read_bytes()[116:])

    bits = Image.new("1", (9, 1), 1)
    bits.putpixel((0, 0), 0)
    bits.putpixel((8, 0), 0)
    bits.save(OUT / "one_bit.png")


if __name__ == "__main__":
    main()
