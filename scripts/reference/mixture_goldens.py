#!/usr/bin/env python3
"""Golden values of expectation maximisation from scikit-learn 1.9.1: models/tests/goldens/mixture_{full,diagonal}.safetensors."""

import json
import pathlib
import warnings

import golden_file
import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

GOLDENS = pathlib.Path(__file__).resolve().parents[2] / "models" / "tests" / "goldens"
COMPONENTS, DIMENSION, FLOOR = 3, 4, 1e-3

warnings.simplefilter("ignore", ConvergenceWarning)
rng = np.random.default_rng(0)
# Heaps that overlap, at some distance from the origin.
x = np.concatenate(
    [
        rng.normal(size=(n, DIMENSION)) @ rng.normal(size=(DIMENSION, DIMENSION)) + 3 * rng.normal(size=DIMENSION) + 5
        for n in (60, 90, 30)
    ]
).astype(np.float32)
start = dict(
    weights=np.array([0.2, 0.5, 0.3]),
    means=x[[3, 77, 160]].astype(np.float64),
    covariances=np.array([0.5, 2.0, 8.0])[:, None, None] * np.eye(DIMENSION),
)

for name, form in (("full", "full"), ("diagonal", "diag")):
    factors = np.linalg.inv(np.linalg.cholesky(start["covariances"])).transpose(0, 2, 1)
    diagonal = np.diagonal(factors, axis1=1, axis2=2)
    tensors = {
        "x": torch.tensor(x),
        "start.log_weights": torch.tensor(np.log(start["weights"])),
        "start.means": torch.tensor(start["means"]),
        "start.precision_factors": torch.tensor(factors if form == "full" else diagonal[:, None]),
    }
    for steps in (1, 20):
        mixture = GaussianMixture(
            COMPONENTS,
            covariance_type=form,
            reg_covar=FLOOR,
            max_iter=steps,
            tol=0,
            weights_init=start["weights"],
            means_init=start["means"],
            precisions_init=np.linalg.inv(start["covariances"]) if form == "full" else diagonal**2,
        ).fit(x.astype(np.float64))
        assert mixture.n_iter_ == steps
        tensors |= {
            f"{steps}.weights": torch.tensor(mixture.weights_),
            f"{steps}.means": torch.tensor(mixture.means_),
            f"{steps}.covariances": torch.tensor(mixture.covariances_),
            f"{steps}.log_prob": torch.tensor(mixture.score_samples(x.astype(np.float64))),
        }
    config = dict(
        shape=[DIMENSION, 1, 1],
        components=COMPONENTS,
        covariance=name,
        floor=FLOOR,
    )
    golden_file.write(GOLDENS / f"mixture_{name}.safetensors", tensors, {"config": json.dumps(config)})
