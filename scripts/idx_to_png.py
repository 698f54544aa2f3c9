#!/usr/bin/env python3
"""The images of an idx file as PNG files, for what reads files: `atypical gate`.

Usage:
  scripts/idx_to_png.py data/mnist/t10k-images-idx3-ubyte.gz digits --count 1000
  atypical gate --run rq_nsf_fmnist_small --false-alarms 0.05 --json digits/*.png
"""

import argparse
import gzip
import pathlib
import struct
import zlib


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("idx", type=pathlib.Path, help="images, plain or gzip")
    parser.add_argument("folder", type=pathlib.Path, help="where the files go")
    parser.add_argument("--count", type=int, help="only so many [default: all]")
    arguments = parser.parse_args()
    opened = gzip.open if arguments.idx.suffix == ".gz" else open
    with opened(arguments.idx, "rb") as file:
        magic, count, height, width = struct.unpack(">IIII", file.read(16))
        if magic != 0x803:
            parser.error(f"{arguments.idx} holds no images: it begins with {magic:#x}, not 0x803")
        arguments.folder.mkdir(parents=True, exist_ok=True)
        for i in range(min(count, arguments.count or count)):
            rows = b"".join(b"\0" + file.read(width) for _ in range(height))
            # 8 bits of grey.
            header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
            png = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
            (arguments.folder / f"{i:05}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + png)


if __name__ == "__main__":
    main()
