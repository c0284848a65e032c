"""Where public metrics libraries define the same thing, they give the same figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torchmetrics.functional.retrieval import retrieval_average_precision, retrieval_precision

from sightbook.evaluate.metrics import average_precision, precision_at


def test_500_random_rankings_equal_torchmetrics_and_scikit_learn() -> None:
    """torchmetrics divides by the hits found in the top k, as `hits-in-top-R` does; scikit-learn's score is that of the
    full ranking. Neither has a rule for ties, so the scores have none."""
    random = np.random.default_rng(8)
    for case in range(500):
        n = int(random.integers(2, 200))
        R = int(random.integers(1, n + 1))
        scores = 1 + random.permutation(n).astype(np.float32)  # torchmetrics takes 0 for "not found"
        relevant = random.random(n) < random.random()
        hits = relevant[np.argsort(-scores)][None]
        r = hits.sum(axis=1)
        preds, target = torch.from_numpy(scores), torch.from_numpy(relevant)
        # They add up in float32.
        assert average_precision(hits, r, "hits-in-top-R", R)[0] == pytest.approx(
            float(retrieval_average_precision(preds, target, top_k=R)), abs=1e-6
        ), case
        assert precision_at(hits, R)[0] == pytest.approx(
            float(retrieval_precision(preds, target, top_k=R)), abs=1e-6
        )
        if relevant.any():
            assert average_precision(hits, r, "full-ranking")[0] == pytest.approx(
                average_precision_score(relevant, scores), abs=1e-12
            ), case
