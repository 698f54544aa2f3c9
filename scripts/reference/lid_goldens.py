#!/usr/bin/env python3
"""Golden values of model-free estimators from scikit-dimension 0.5.0: tests/goldens/lpca.json, model_free.json."""

import json
import pathlib

import numpy as np
import skdim
from scipy.spatial.distance import cdist
from sklearn.datasets import make_swiss_roll

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
GOLDENS = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens"
(GOLDENS / "lpca.json").write_text(json.dumps(goldens) + "\n")


def sphere(n, d):
    x = rng.normal(size=(n, d + 1))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


CLOUDS = {
    "plane in 10-D": plane(80, 3, 10, 0.0),
    "noisy plane": plane(81, 2, 6, 0.1),
    "sphere": sphere(120, 4),
    "swiss roll": make_swiss_roll(150, random_state=0)[0],
    "more dimensions than points": plane(40, 5, 60, 0.001),
}
K = 24


def model_free(x):
    """Local and global estimates. Neighbourhoods are K other points, with the point itself where the estimator takes it."""
    distances = cdist(x, x)
    order = np.argsort(distances, axis=1, kind="stable")
    assert (order[:, 0] == np.arange(len(x))).all()
    near = order[:, 1 : K + 1]
    radii = np.take_along_axis(distances, near, axis=1)
    mle = skdim.id.MLE().fit(x, precomputed_knn_arrays=(radii, near))
    ess = skdim.id.ESS().fit(x, precomputed_knn_arrays=(radii, near))

    def lpca(x):
        return float(skdim.id.lPCA(ver="FO").fit(x).dimension_)

    def twonn(i):
        return skdim.id.TwoNN(dist=True).fit(radii[i, :2]).dimension_

    def corrint(i):
        # From exact distances: given points, scikit-dimension counts pairs on distances of inner products.
        return skdim.id.CorrInt(DM=True).fit(distances[np.ix_(i, i)]).dimension_

    everything = np.arange(len(x))
    local = dict(
        lpca=[lpca(x[i]) for i in order[:, : K + 1]],
        mle=mle.dimension_pw_.tolist(),
        twonn=[twonn(i) for i in order[:, : K + 1]],
        ess=ess.dimension_pw_.tolist(),
        corrint=[corrint(i) for i in near],
    )
    whole = dict(
        lpca=lpca(x),
        mle=mle.dimension_,
        twonn=twonn(everything),
        ess=ess.dimension_,
        corrint=corrint(everything),
    )
    return local, whole


goldens = []
for name, x in CLOUDS.items():
    x = x.round(4)
    local, whole = model_free(x)
    goldens.append(
        dict(name=name, dimension=x.shape[1], k=K, points=x.ravel().tolist(), local=local, **{"global": whole})
    )
(GOLDENS / "model_free.json").write_text(json.dumps(goldens) + "\n")
