#!/usr/bin/env python3
"""Golden values of energies with spectral normalisation, from torch.nn.utils.spectral_norm: models/tests/goldens/energy_*.safetensors.

Each network takes one step: a power iteration from the vectors in the file, energies, and the gradient of their mean. Everything is computed
in float64 from weights and inputs that float32 can hold. models/tests/zoo/energy.rs reads them.
"""

import json
import pathlib

import torch
from torch import nn
from torch.nn.utils import spectral_norm

import golden_file

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "models" / "tests" / "goldens"
SOURCE = f"scripts/reference/energy_goldens.py, torch {torch.__version__}"
torch.set_default_dtype(torch.float64)
torch.manual_seed(0)


def f32(tensor):
    return tensor.to(torch.float32).to(torch.float64)


def save(name, config, network, x):
    layers = [layer for layer in network if hasattr(layer, "weight")]
    inputs = {"x": x}
    for i, layer in enumerate(layers):
        layer.weight.data = f32(layer.weight.data)
        layer.bias.data = f32(layer.bias.data)
        spectral_norm(layer)
        layer.weight_u.copy_(f32(layer.weight_u))
        inputs |= {f"{i}.weight": layer.weight_orig, f"{i}.bias": layer.bias, f"{i}.u": layer.weight_u}
    tensors = {key: value.detach().to(torch.float32) for key, value in inputs.items()}
    x = x.clone().requires_grad_()
    energy = network(x).squeeze(1)
    energy.mean().backward()
    tensors |= {"energy": energy, "gradient.x": x.grad.flatten(1)}
    for i, layer in enumerate(layers):
        tensors |= {
            f"{i}.left": layer.weight_u.clone(),
            f"{i}.right": layer.weight_v.clone(),
            f"{i}.normalised": layer.weight,
            f"{i}.gradient.weight": layer.weight_orig.grad,
            f"{i}.gradient.bias": layer.bias.grad,
        }
    path = FOLDER / f"{name}.safetensors"
    golden_file.write(path, tensors, {"config": json.dumps(config), "source": SOURCE})
    print(f"{name:24} {path.stat().st_size / 1024:7.1f} KiB")


save(
    "energy_mlp",
    {
        "shape": [5, 1, 1],
        "network": {"kind": "mlp", "hidden": [7, 6], "activation": "silu"},
        "spectral_norm": True,
        "buffer": 4,
    },
    nn.Sequential(nn.Linear(5, 7), nn.SiLU(), nn.Linear(7, 6), nn.SiLU(), nn.Linear(6, 1)),
    f32(torch.randn(4, 5)),
)
save(
    "energy_conv",
    {
        "shape": [2, 4, 6],
        "network": {"kind": "conv", "channels": [4, 3], "strides": [1, 2], "activation": "silu"},
        "spectral_norm": True,
        "buffer": 4,
    },
    nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(4, 3, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(3 * 2 * 3, 1),
    ),
    f32(torch.rand(3, 2, 4, 6)),
)
