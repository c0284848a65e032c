"""The closed form equals its slow loops, chooses its strength without labels, and bears whatever collections hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sightbook.describe import learn as learning
from sightbook.describe import vectors
from sightbook.describe.description import Description
from sightbook.describe.learn import Strength, learn
from sightbook.describe.nearest import neighbours
from sightbook.describe.vectors import balance, checked, unit
from sightbook.errors import ConfigError


def collection(
    classes: int = 12, each: int = 15, F: int = 48, noise: float = 0.7, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, F), positive as a network's are, and the class of each: classes differ in some directions, the
    pictures of one in others, which say nothing and are twice as strong."""
    random = np.random.default_rng(seed)
    telling, idle = random.normal(size=(6, F)), random.normal(size=(6, F))
    labels = np.repeat(np.arange(classes), each)
    centres = random.normal(size=(classes, 6))
    f = centres[labels] @ telling + 2 * random.normal(size=(len(labels), 6)) @ idle * noise
    return (f - f.min() + 0.1 * random.normal(size=f.shape)).astype(np.float32), labels


def precision(x: np.ndarray, labels: np.ndarray, k: int = 5) -> float:
    """Share of the k nearest that are of one's own class."""
    return float((labels[neighbours(unit(x), k)[0]] == labels[:, None]).mean())


def test_local_whitening_is_that_of_the_slow_loop() -> None:
    f, _ = collection(4, 6, 10)
    x = unit(unit(f) - unit(f).mean(0))
    anchors = np.array([0, 3, 4, 20])
    places, _ = neighbours(x, 3, anchors)
    S = np.zeros((10, 10))
    for i, near in zip(anchors, places, strict=True):
        for n in near:
            S += np.outer(x[i] - x[n], x[i] - x[n]) / places.size
    mean = np.trace(S) / 10
    values, vectors = np.linalg.eigh(S + 0.5 * mean * np.eye(10))
    expected = vectors @ np.diag(values**-0.5) @ vectors.T * np.sqrt(mean)
    np.testing.assert_allclose(
        learning.learn_whitening(x, anchors, places, 0.5), expected, rtol=1e-3, atol=1e-4
    )


def test_regression_is_that_of_the_slow_loop() -> None:
    f, _ = collection(4, 6, 10)
    y = unit(unit(f) - unit(f).mean(0))
    anchors = np.arange(24)
    places, _ = neighbours(y, 3)
    target = np.stack([0.6 * y[near].mean(0) + 0.4 * y[i] for i, near in enumerate(places)])
    G = (y.T @ y).astype(float)
    R = np.linalg.solve(G + 0.2 * np.trace(G) / 10 * np.eye(10), y.T @ target)
    found = learning.regress(y, anchors, places, Strength(1.0, 0.2, 0.4))
    np.testing.assert_allclose(found, R, rtol=1e-3, atol=1e-5)


def test_few_pictures_leave_the_features_as_they_are() -> None:
    random = np.random.default_rng(0)
    x = unit(random.normal(size=(50, 6)))
    weights = random.normal(size=(6, 6))
    gain = np.sqrt(((x @ weights) ** 2).sum() / (x**2).sum())
    for pictures in (3, 50, 1_000_000):
        trust = pictures / (pictures + 6)
        expected = trust * weights + (1 - trust) * gain * np.eye(6)
        np.testing.assert_allclose(learning.shrink(x, weights, pictures), expected, rtol=1e-5)


def test_the_map_is_one_of_all_three_steps() -> None:
    f, _ = collection()
    learned = learn(f, d=48, strength=Strength())
    x = unit(unit(f) - unit(f).mean(0))
    (weights,) = learning.learn_weights(x, 4, [Strength()], learning.SEED)
    z = unit(x @ weights.astype(np.float32))
    found = learned.description.apply(f) + learned.description.middle
    np.testing.assert_allclose(found @ found.T, z @ z.T, atol=2e-4)  # axes are turned, angles are not


def test_it_finds_what_tells_kinds_apart() -> None:
    f, labels = collection()
    learned = learn(f)
    before, after = (
        precision(unit(f) - unit(f).mean(0), labels),
        precision(learned.description.apply(f), labels),
    )
    assert before < 0.6 and after > 0.95


def test_it_holds_for_pictures_that_come_later() -> None:
    f, labels = collection(each=30)
    first = np.arange(len(f)) % 2 == 0
    x = learn(f[first]).description.apply(f)
    later = np.flatnonzero(~first)
    centred = unit(f) - unit(f).mean(0)
    assert precision(x[later], labels[later]) > precision(centred[later], labels[later]) + 0.2


def test_the_strength_is_the_one_with_the_most_agreement() -> None:
    f, _ = collection()
    learned = learn(f)
    assert set(learned.agreement) == set(learning.STRENGTHS)
    assert learned.agreement[learned.strength] == max(learned.agreement.values())
    assert learned.before is not None and 0 < learned.before < 1
    again = learn(f, strength=learned.strength)
    assert again.agreement == {} and again.before is None
    np.testing.assert_array_equal(again.description.weights, learned.description.weights)


def test_agreement_is_counted_as_the_slow_loop_counts() -> None:
    random = np.random.default_rng(0)
    parts = [unit(random.normal(size=(40, 8))) for _ in range(2)]
    near = [neighbours(part, 10)[0].tolist() for part in parts]
    expected = np.mean([len(set(one) & set(two)) / 10 for one, two in zip(*near, strict=True)])
    assert learning.count_shared(parts) == pytest.approx(expected)


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    f, _ = collection()
    description = learn(f, strength=Strength()).description
    whole = description.apply(f)
    for count in (1, 2, 63, 64, 65, 130):
        np.testing.assert_array_equal(description.apply(f[:count]), whole[:count])
        np.testing.assert_array_equal(description.apply(f[count:]), whole[count:])


def test_tensors_make_a_round_trip() -> None:
    description = learn(collection()[0], d=7, strength=Strength()).description
    again = Description.of(description.tensors())
    assert (again.F, again.d) == (48, 7)
    np.testing.assert_array_equal(again.weights, description.weights)
    with pytest.raises(ValueError, match="do not fit"):
        Description.of({**description.tensors(), "middle": np.zeros(3, np.float32)})
    with pytest.raises(ConfigError, match=r"vectors must have 48 numbers each"):
        description.apply(np.zeros((2, 47)))


def test_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    f, _ = collection()
    f = np.concatenate([f * [100.0, *[1.0] * 47], f[3:9]])  # a dimension to be balanced, and copies
    whole = learn(f, strength=Strength()).description
    monkeypatch.setattr(learning, "ROWS", 7)
    monkeypatch.setattr(vectors, "ROWS", 7)
    again = learn(f, strength=Strength()).description
    assert whole.scale[0] < 0.2
    np.testing.assert_allclose(again.scale, whole.scale, rtol=1e-6)
    one, two = (each.apply(f) + each.middle for each in (whole, again))
    np.testing.assert_allclose(one @ one.T, two @ two.T, atol=2e-4)  # axes are turned, angles are not


def test_the_rows_given_are_left_as_they_are() -> None:
    f, _ = collection()
    before = f.copy()
    learn(f, strength=Strength())
    np.testing.assert_array_equal(f, before)


# What collections hold


def test_copies_teach_nothing_and_change_nothing() -> None:
    f, _ = collection()
    once = learn(f, strength=Strength())
    many = learn(np.concatenate([f, np.repeat(f[5:6], 10_000, axis=0)]), strength=Strength())
    assert (many.rows, many.distinct) == (10_180, 180)
    np.testing.assert_allclose(many.description.weights, once.description.weights, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 50])
def test_few_pictures_give_a_description(count: int) -> None:
    f, _ = collection()
    learned = learn(f[:: len(f) // count][:count])
    x = learned.description.apply(f)
    assert learned.distinct == count and x.shape == (180, 48) and np.isfinite(x).all()
    if count > 2:
        assert len(np.unique(x.round(4), axis=0)) == 180, "new pictures can be told apart, too"


@pytest.mark.parametrize(
    "f",
    [
        np.ones((40, 8)),
        np.zeros((40, 8)),
        np.repeat([[1.0, 0, 2, 0], [0.0, 3, 0, 1]], 50, axis=0),
        np.outer(np.arange(1, 41), [1.0, 2, 3]),  # one direction, lengths alone differ
        np.eye(3)[np.arange(60) % 3],
    ],
)
def test_pictures_that_look_alike_are_borne(f: np.ndarray) -> None:
    x = learn(f).description.apply(f)
    assert np.isfinite(x).all()


def test_a_rank_deficient_collection_is_borne() -> None:
    random = np.random.default_rng(0)
    f = random.normal(size=(200, 4)) @ random.normal(size=(4, 32))
    assert np.isfinite(learn(f).description.apply(f)).all()


def test_a_dead_and_a_huge_dimension_do_not_hide_the_others() -> None:
    f, labels = collection()
    plain = precision(learn(f).description.apply(f), labels)
    random = np.random.default_rng(9)
    odd = np.column_stack([f, np.zeros(len(f)), 1e6 * random.normal(size=len(f))])
    assert precision(learn(odd).description.apply(odd), labels) > plain - 0.1


def test_balance_lowers_only_what_is_far_louder() -> None:
    random = np.random.default_rng(0)
    f = random.normal(size=(500, 5)) * [1, 1, 0, 2, 1000]
    scale = balance(f)
    assert scale[:4].tolist() == [1, 1, 1, 1]
    deviation = f.std(axis=0)
    assert scale[4] * deviation[4] == pytest.approx(5 * np.median(deviation[[0, 1, 3, 4]]), rel=1e-6)


def test_balance_is_exact_far_from_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "ROWS", 64)  # several blocks
    random = np.random.default_rng(0)
    f = (random.normal(size=(500, 5)) * [1, 1, 1, 1, 100] + 1e4).astype(np.float32)
    deviation = f.astype(np.float64).std(axis=0)
    assert balance(f)[4] == pytest.approx(5 * np.median(deviation) / deviation[4], rel=1e-6)


def test_outliers_do_not_turn_it() -> None:
    f, labels = collection()
    odd = np.concatenate([f, np.random.default_rng(1).uniform(0, 30, (6, 48)).astype(np.float32)])
    assert (
        precision(learn(odd).description.apply(f), labels)
        > precision(learn(f).description.apply(f), labels) - 0.1
    )


def test_two_domains_are_described_together() -> None:
    one, labels = collection(seed=0)
    other, more = collection(seed=0)
    shifted = other + 5 * np.abs(np.random.default_rng(2).normal(size=48)).astype(np.float32)
    both, all_labels = np.concatenate([one, shifted]), np.concatenate([labels, more])
    x = learn(both).description.apply(both)
    assert precision(x, all_labels) > precision(unit(both) - unit(both).mean(0), all_labels) + 0.15


def test_a_sample_is_looked_at_where_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "BANK", 120)
    monkeypatch.setattr(learning, "ANCHORS", 50)
    f, labels = collection()
    learned = learn(f)
    assert (learned.rows, learned.distinct) == (120, 120)
    assert precision(learned.description.apply(f), labels) > 0.5


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        (np.zeros((3, 4, 5)), r"not float64 of shape \(3, 4, 5\)"),
        (np.zeros((0, 4)), r"of shape \(0, 4\)"),
        ([[1.0, 2.0], [3.0]], "different lengths"),
        (np.array([["a", "b"]]), "not <U1"),
        (np.array([[1.0, 2], [3, np.nan]]), "vector 1 holds values that are not finite"),
        (
            np.array([[1.0, 2], [3, 4], [np.inf, 0]]).astype(np.float16),
            "vector 2 holds .* too large for float16",
        ),
        (np.array([[1.0, np.nan]]), r"not finite \(NaN or infinite\): leave it out$"),
        (
            np.array([[1.0, 1e30]]),
            r"vector 0 holds numbers that are too large \(1e\+15 and more\): divide all",
        ),
        # Each square fits float32, the sum of 1,280 does not: such a vector became one of zeros.
        (np.full((3, 1280), 9e17), "vector 0 holds numbers that are too large"),
        (np.ma.masked_greater(np.array([[1.0, 2], [3, 4]]), 3), "vector 1 holds values that are masked"),
        (np.ma.masked_less(np.ones((2, 2), np.int8), 3), "vector 0 holds values that are masked"),
    ],
)
def test_what_cannot_be_learned_from_is_said(features: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        learn(features)


def test_half_precision_lists_and_integers_will_do() -> None:
    f, _ = collection()
    assert checked(f.tolist()).shape == (180, 48)
    assert np.array_equal(checked(np.ma.masked_array(f, mask=False)), f), "nothing is masked"
    assert checked(f.astype(np.float16)).dtype == np.float16
    for each in (f.astype(np.float16), (10 * f).astype(int), f.tolist()):
        assert np.isfinite(learn(each, strength=Strength()).description.apply(f)).all()


@pytest.mark.parametrize(
    "options", [{"d": 0}, {"k": 0}, {"strength": Strength(0)}, {"strength": Strength(1, 0)}]
)
def test_settings_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be above 0"):
        learn(collection()[0], **options)
