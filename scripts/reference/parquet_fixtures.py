"""Write the parquet fixtures of datasets/tests/goldens/parquet with pyarrow and pandas, as the Hugging Face `datasets` library lays them out.

    python scripts/reference/parquet_fixtures.py datasets/tests/goldens/parquet        (needs pyarrow, pandas, numpy, pillow)

Pixel (row r, channel c, y, x) is (31 r + 50 c + 7 y + 3 x) mod 256: the tests know it too.
"""

import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

OUT = Path(sys.argv[1])
OUT.mkdir(parents=True, exist_ok=True)
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def pixels(r, h, w, c):
    c_, y, x = np.meshgrid(np.arange(c), np.arange(h), np.arange(w), indexing="ij")
    return ((31 * r + 50 * c_ + 7 * y + 3 * x) % 256).astype(np.uint8).transpose(1, 2, 0)


def encoded(r, h, w, c, form="PNG", mode=None):
    array = pixels(r, h, w, c)
    picture = Image.fromarray(array[:, :, 0] if c == 1 else array)
    if mode:
        picture = picture.convert(mode)
    out = io.BytesIO()
    picture.save(out, form, lossless=True) if form == "WEBP" else picture.save(out, form)
    return out.getvalue()


def write(name, table, **options):
    options = {"write_statistics": False, "use_dictionary": False, "store_schema": name.startswith("hf_"), **options}
    pq.write_table(table.replace_schema_metadata(None) if "pandas" not in name else table, OUT / name, **options)


def structs(pictures, paths=None):
    paths = paths or [None] * len(pictures)
    return pa.array([{"bytes": b, "path": p} for b, p in zip(pictures, paths)], IMAGE)


# The layout of ylecun/mnist, zalando-datasets/fashion_mnist: `image`, `label`; row groups of 5, 5 and 2.
grey = [encoded(r, 28, 28, 1) for r in range(12)]
paths = [f"{r}.png" for r in range(12)]
label = pa.array([r % 10 for r in range(12)], pa.int64())
write("hf_grey.parquet", pa.table({"image": structs(grey, paths), "label": label}), row_group_size=5, compression="snappy",
      use_dictionary=True, write_statistics=True)

# That of uoft-cs/cifar100: `img`, `fine_label`, `coarse_label`; small pages, so that a slice begins inside a row group behind several of them.
colour = [encoded(r, 32, 32, 3) for r in range(6)]
write("hf_colour.parquet",
      pa.table({"img": structs(colour), "fine_label": pa.array(range(100, 106), pa.int32()), "coarse_label": pa.array(range(6), pa.int64())}),
      compression="zstd", data_page_size=1, write_batch_size=2)

# Plain binary, no nulls by the schema, data pages of version 2, gzip; the first picture is grey, others are not.
mixed = [encoded(0, 4, 6, 1), encoded(1, 4, 6, 3), encoded(2, 4, 6, 3, mode="RGBA"), encoded(3, 4, 6, 1, mode="LA"), encoded(4, 4, 6, 1, "WEBP"),
         encoded(5, 4, 6, 1, "JPEG"), encoded(6, 4, 6, 1, mode="I;16")]
schema = pa.schema([pa.field("picture", pa.binary(), nullable=False), pa.field("file", pa.string(), nullable=False),
                    pa.field("labels", pa.uint8(), nullable=False)])
write("plain_mixed.parquet", pa.table({"picture": mixed, "file": list("abcdefg"), "labels": pa.array(range(249, 256), pa.uint8())}, schema),
      compression="gzip", data_page_version="2.0")

# One picture many times, in a dictionary.
write("dictionary.parquet", pa.table({"image": structs([encoded(r % 2, 4, 6, 3) for r in range(40)])}), use_dictionary=True)

# What is to be refused.
small = [encoded(r, 4, 6, 1) for r in range(6)]
write("null_labels.parquet", pa.table({"image": structs(small), "label": pa.array([0, None, 2, None, None, 5], pa.int64())}), row_group_size=4)
write("null_picture.parquet", pa.table({"image": structs(small[:3] + [None] + small[4:], list("abcdef"))}), row_group_size=2)
damaged = [*small[:4], small[4][:-20], small[5]]
write("damaged_picture.parquet", pa.table({"image": structs(damaged)}), row_group_size=3)
write("two_sizes.parquet", pa.table({"image": structs([*small[:5], encoded(5, 6, 4, 1)])}))
write("no_rows.parquet", pa.table({"image": structs([])}))
write("no_pictures.parquet", pa.table({"text": ["a"], "label": [1], "score": [0.5], "box": [[1, 2]]}))
write("text_labels.parquet", pa.table({"image": structs(small), "label": list("abcdef")}))
write("two_pictures.parquet", pa.table({"left": structs(small), "right": structs(small)}))
write("lz4.parquet", pa.table({"image": structs(small)}), compression="lz4")

# Pixels as numbers.
flat = [pixels(r, 4, 4, 1).reshape(-1) for r in range(5)]
write("pixels_flat_pandas.parquet", pa.Table.from_pandas(pd.DataFrame({"pixels": flat, "label": range(5)})), row_group_size=3)
grid = [pixels(r, 4, 6, 1)[:, :, 0].tolist() for r in range(5)]
write("pixels_grid.parquet", pa.table({"image": pa.array(grid, pa.list_(pa.list_(pa.uint8())))}))
colours = [pixels(r, 4, 6, 3).tolist() for r in range(5)]
fixed = pa.list_(pa.list_(pa.list_(pa.int32(), 3), 6), 4)
write("pixels_colour.parquet", pa.table({"images": pa.array(colours, fixed)}))
ragged = [[[1, 2], [3, 4]], [[1, 2, 3], [4]]]
write("pixels_ragged.parquet", pa.table({"image": pa.array(ragged, pa.list_(pa.list_(pa.int32())))}))
write("pixels_beyond.parquet", pa.table({"image": pa.array([[[1, 2], [3, 4]], [[1, 256], [3, 4]]], pa.list_(pa.list_(pa.int32())))}))

# Feature vectors.
values = np.arange(12, dtype=np.float32).reshape(4, 3) / 4
frame = pd.DataFrame({"a": values[:, 0], "b": values[:, 1].astype(np.float64), "c": values[:, 2], "label": [3, 1, 4, 1]}, index=[7, 8, 9, 10])
write("vectors_columns_pandas.parquet", pa.Table.from_pandas(frame), row_group_size=3)
rows = values.tolist()
write("vectors_list.parquet", pa.table({"embedding": pa.array(rows, pa.list_(pa.float32())), "label": [3, 1, 4, 1], "text": list("abcd")}),
      row_group_size=3)
write("vectors_fixed.parquet", pa.table({"features": pa.array(rows, pa.list_(pa.float64(), 3))}))
write("vectors_ragged.parquet", pa.table({"features": pa.array([[1.0, 2.0], [3.0, 4.0], [5.0]], pa.list_(pa.float32()))}))
bad = [[1.0, 2.0], [3.0, float("nan")], [float("inf"), 4.0]]
write("vectors_nan_list.parquet", pa.table({"vector": pa.array(bad, pa.list_(pa.float32()))}))
write("vectors_nan_columns.parquet", pa.table({"a": [r[0] for r in bad], "b": [r[1] for r in bad]}))
write("vectors_null.parquet", pa.table({"a": pa.array([1.0, None, 2.0]), "b": [1.0, 2.0, 3.0]}))
write("vectors_text.parquet", pa.table({"a": [1.0], "name": ["x"]}))
write("vectors_dates.parquet", pa.table({"a": [1.0], "day": pa.array([1], pa.date32())}))
