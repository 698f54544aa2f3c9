#!/usr/bin/env python3
"""Golden values of LPCA (Fukunaga-Olsen) from scikit-dimension: tests/goldens/lpca.json."""

import json
import pathlib

import numpy as np
import skdim

rng = np.random.default_rng(0)


def plane(n, d, ambient, noise):
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, ambient)) + noise * rng.normal(size=(n, ambient))


angle = rng.uniform(0, 2 * np.pi, 60)
CASES = {
    "plane in 10-D": plane(60, 3, 10, 0.01),
    "noisy plane": plane(50, 2, 6, 0.3),
    "more dimensions than points": plane(20, 4, 30, 0.001),
    "circle": np.c_[np.cos(angle), np.sin(angle), 0.01 * rng.normal(size=60)],
}

goldens = []
for name, x in CASES.items():
    x = x.round(5)
    for alpha in (0.05, 0.001):
        k = 12
        # scikit-dimension's neighbourhoods leave the point itself out unless it is put in front.
        order = np.argsort(((x[:, None] - x[None]) ** 2).sum(-1), axis=1, kind="stable")[:, :k]
        local = [skdim.id.lPCA(ver="FO", alphaFO=alpha).fit(x[i]).dimension_ for i in order]
        goldens.append(
            dict(
                name=f"{name}, alpha {alpha}",
                dimension=x.shape[1],
                points=x.ravel().tolist(),
                alpha=alpha,
                **{"global": int(skdim.id.lPCA(ver="FO", alphaFO=alpha).fit(x).dimension_)},
                neighbours=k,
                local=[int(d) for d in local],
            )
        )
path = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "lpca.json"
path.write_text(json.dumps(goldens) + "\n")
