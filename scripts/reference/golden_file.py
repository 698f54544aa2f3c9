"""Writes safetensors files byte for byte the same on every run (the official writer leaves the order of the metadata open)."""

import json
import struct

import torch

NAMES = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64"}


def write(path, tensors, metadata):
    """Write `tensors` (name to tensor) and `metadata` (name to string)."""
    header, blobs, end = {"__metadata__": metadata}, [], 0
    # Wide types first, so that every tensor is aligned to its own size.
    for name, tensor in sorted(tensors.items(), key=lambda kv: (-kv[1].element_size(), kv[0])):
        blob = tensor.detach().contiguous().numpy().tobytes()
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [end, end + len(blob)],
        }
        blobs.append(blob)
        end += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))
