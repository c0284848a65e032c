"""The four average precisions: rankings worked out by hand, and chance by counting every arrangement."""

from __future__ import annotations

import numpy as np
import pytest

from sightbook.errors import ConfigError
from sightbook.evaluate.metrics import (
    DEFAULT,
    DEFINITIONS,
    average_precision,
    expected_average_precision,
    precision_at,
)
from tests.evaluate.reference import AVERAGE_PRECISION, expected

# Relevant pictures at ranks 1, 3, 6 and 8 of 8.
HITS = np.array([[1, 0, 1, 0, 0, 1, 0, 1]], bool)
RELEVANT = np.array([4])


@pytest.mark.parametrize(
    ("name", "R", "by_hand"),
    [
        ("hits-in-top-R", 5, (1 / 1 + 2 / 3) / 2),
        ("hits-in-top-R", 8, (1 / 1 + 2 / 3 + 3 / 6 + 4 / 8) / 4),
        ("relevant-with-cutoff", 5, (1 / 1 + 2 / 3) / 4),
        (
            "trapezoid",
            None,
            ((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2 + (2 / 5 + 3 / 6) / 2 + (3 / 7 + 4 / 8) / 2) / 4,
        ),
        ("full-ranking", None, (1 / 1 + 2 / 3 + 3 / 6 + 4 / 8) / 4),
    ],
)
def test_average_precision_by_hand(name: str, R: int | None, by_hand: float) -> None:
    assert average_precision(HITS, RELEVANT, name, R) == pytest.approx([by_hand], abs=1e-15)


def test_the_definitions_differ_on_one_ranking() -> None:
    assert len({round(float(average_precision(HITS, RELEVANT, name, 5)[0]), 9) for name in DEFINITIONS}) == 4


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_perfect_ranking_scores_one_and_an_empty_one_zero(name: str) -> None:
    hits = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], bool)
    assert average_precision(hits, np.array([2, 0]), name, 4).tolist() == [1.0, 0.0]


def test_a_query_without_a_hit_in_the_top_counts_zero() -> None:
    assert average_precision(np.array([[0, 0, 1]], bool), np.array([1]), DEFAULT, 2).tolist() == [0.0]


def test_precision_counts_missing_ranks_as_misses() -> None:
    assert precision_at(HITS, 1).tolist() == [1.0]
    assert precision_at(HITS, 3).tolist() == [2 / 3]
    assert precision_at(HITS, 10).tolist() == [0.4]


@pytest.mark.parametrize("name", AVERAGE_PRECISION)
def test_chance_equals_the_mean_over_every_arrangement(name: str) -> None:
    for n in range(1, 9):
        for r in range(n + 1):
            for R in range(1, n + 2):
                exact = float(expected(name, r, n, R))
                assert expected_average_precision(r, n, name, R) == pytest.approx(exact, abs=1e-12), (r, n, R)


def test_chance_on_cifar10_is_a_tenth_and_a_little() -> None:
    # Above .1 since only the hits found are averaged: 2,000 random orders gave .1057.
    assert expected_average_precision(5000, 50_000, DEFAULT, 1000) == pytest.approx(0.105843, abs=1e-6)


def test_an_unknown_definition_is_refused_with_the_names() -> None:
    with pytest.raises(ConfigError, match=r"unknown definition of average precision 'map'.*hits-in-top-R"):
        average_precision(HITS, RELEVANT, "map")
