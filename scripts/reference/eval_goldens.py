#!/usr/bin/env python3
"""Golden values of AUROC, average precision and FPR at 95 % TPR from scikit-learn: tests/goldens/eval.json."""

import json
import pathlib

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

rng = np.random.default_rng(0)
CASES = {
    "separated": (rng.normal(3, 1, 40), rng.normal(0, 1, 50)),
    "overlapping": (rng.normal(0.3, 1, 200), rng.normal(0, 1, 37)),
    "reversed": (rng.normal(-1, 1, 60), rng.normal(1, 2, 80)),
    "heavy ties": (rng.integers(0, 4, 70).astype(float), rng.integers(0, 5, 90).astype(float)),
    "one value": (np.ones(5), np.ones(7)),
    "unbalanced": (rng.normal(1, 1, 3).round(1), rng.normal(0, 1, 150).round(1)),
}

goldens = []
for name, (inside, outside) in CASES.items():
    y = np.r_[np.ones(len(inside)), np.zeros(len(outside))]
    s = np.r_[inside, outside]
    fpr, tpr, _ = roc_curve(y, s, drop_intermediate=False)
    goldens.append(
        dict(
            name=name,
            inside=inside.tolist(),
            outside=outside.tolist(),
            auroc=roc_auc_score(y, s),
            aupr_in=average_precision_score(y, s),
            aupr_out=average_precision_score(1 - y, -s),
            fpr95=float(fpr[np.argmax(tpr >= 0.95)]),
        )
    )
path = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "eval.json"
path.write_text(json.dumps(goldens, indent=1) + "\n")
