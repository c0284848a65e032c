"""k-means of sub-vectors finds what lies apart, and components are dealt so that sub-vectors are alike."""

from __future__ import annotations

import numpy as np

from sightbook.codes.products import clusters, deal


def test_clusters_that_lie_apart_are_found_in_each_part() -> None:
    random = np.random.default_rng(0)
    centres = np.array([[0, 0, 5, 5], [100, 0, -5, 5]], np.float32)
    x = np.repeat(centres, 50, axis=0) + random.uniform(-1, 1, (100, 4)).astype(np.float32)
    words = clusters(x, 2, 2)
    means = x.reshape(2, 50, 4).mean(axis=1)
    for m in range(2):
        expected = sorted(means[:, 2 * m : 2 * m + 2].tolist())
        np.testing.assert_allclose(sorted(words[m].tolist()), expected, atol=1e-4)


def test_components_are_dealt_to_where_least_is() -> None:
    assert deal([8.0, 4.0, 2.0, 1.0], 2, 2) == [0, 2, 3, 1]


def test_components_of_no_variance_fill_up_what_has_least() -> None:
    assert deal([1.0, 0.0, 0.0, 0.0, 0.0, 0.0], 3, 2) == [0, 2, 3, 4, 5, 1]
