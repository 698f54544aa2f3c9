#!/usr/bin/env python3
"""Golden values of how much generated samples are like real ones: tests/goldens/generation.json.

Precision, recall, density and coverage by prdc 0.2, the package of Naeem et al. 2020; the kernel distance by its definition in NumPy; random features by PyTorch.
"""

import json
import pathlib

import numpy as np
import torch
from prdc import compute_prdc

rng = np.random.default_rng(0)
K, SUBSETS = 5, 4


def two_modes(n, share, gap):
    x = rng.normal(size=(n, 3))
    x[rng.random(n) < share] += gap
    return x


copied = rng.normal(size=(60, 4)).round(3)
CASES = {
    "one distribution": (rng.normal(size=(60, 8)), rng.normal(size=(60, 8))),
    "shifted": (rng.normal(size=(50, 5)) + 0.8, rng.normal(size=(70, 5))),
    "too narrow": (0.5 * rng.normal(size=(80, 3)), rng.normal(size=(40, 3))),
    "too wide": (2 * rng.normal(size=(40, 3)), rng.normal(size=(80, 3))),
    "a lost mode": (two_modes(60, 0.0, 9.0), two_modes(60, 0.5, 9.0)),
    "copies of real ones": (copied[:30], copied),
    "far apart": (rng.normal(size=(24, 2)) + 30, rng.normal(size=(24, 2))),
    "one dimension": (rng.exponential(size=(64, 1)), rng.normal(size=(64, 1))),
}


def kernel(a, b):
    return (a @ b / len(a) + 1) ** 3


def squared_mmd(x, y):
    """The unbiased estimator, pair by pair."""
    xx = [kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
    yy = [kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j]
    xy = [kernel(a, b) for a in x for b in y]
    return np.mean(xx) + np.mean(yy) - 2 * np.mean(xy)


def kernel_distance(x, y):
    """Over subsets that follow one another."""

    def subsets(points):
        bounds = [s * len(points) // SUBSETS for s in range(SUBSETS + 1)]
        return [points[a:b] for a, b in zip(bounds, bounds[1:])]

    estimates = [squared_mmd(a, b) for a, b in zip(subsets(x), subsets(y))]
    return dict(value=np.mean(estimates), standard_error=np.std(estimates, ddof=1) / SUBSETS**0.5)


clouds = []
for name, (generated, real) in CASES.items():
    generated, real = generated.round(3), real.round(3)
    prdc = compute_prdc(real_features=real, fake_features=generated, nearest_k=K)
    clouds.append(
        dict(
            name=name,
            dimension=real.shape[1],
            generated=generated.ravel().tolist(),
            real=real.ravel().tolist(),
            k=K,
            prdc=[float(prdc[key]) for key in ("precision", "recall", "density", "coverage")],
            squared_mmd=squared_mmd(generated, real),
            kernel_distance=kernel_distance(generated, real),
            subsets=SUBSETS,
        )
    )


def random_features(images):
    """As a PyTorch user would write it. Weights are fractional parts of multiples of the golden ratio, of mean 0 and variance 1, scaled as He et al. 2015 do."""
    x, number = torch.from_numpy(images / 127.5 - 1.0), 0
    for layer, channels in enumerate([16, 32, 64]):
        if layer > 0:
            x = torch.nn.functional.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
        inputs = x.shape[1]
        i = np.arange(1, 9 * inputs * channels + 1, dtype=np.float64) + number
        number += len(i)
        draws = (i * 0.6180339887498949) % 1.0 * 12**0.5 - 3**0.5
        weights = (2 / (9 * inputs)) ** 0.5 * draws.reshape(3, 3, inputs, channels)
        weights = torch.from_numpy(weights.transpose(3, 2, 0, 1).copy())
        x = torch.relu(torch.nn.functional.conv2d(x, weights, padding=1))
    grid = [min(2, side) for side in x.shape[2:]]
    # Cell by cell, the channels together.
    return torch.nn.functional.adaptive_avg_pool2d(x, grid).permute(0, 2, 3, 1)


features = []
for n, shape in [(2, (1, 8, 8)), (1, (3, 13, 10)), (2, (1, 5, 7)), (2, (3, 1, 2))]:
    pixels = rng.integers(0, 256, size=(n, *shape))
    out = random_features(pixels.astype(np.float64))
    features.append(dict(shape=shape, pixels=pixels.ravel().tolist(), features=out.ravel().tolist()))

path = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "generation.json"
path.write_text(json.dumps(dict(clouds=clouds, features=features)) + "\n")
