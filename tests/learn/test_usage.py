from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sightbook.learn.halves import Share
from sightbook.learn.judged import Judged, lead, raised
from sightbook.learn.usage import Usage
from sightbook.learn.verdict import Verdict, ViewFigures, usage_of
from tests import reference

CPU = torch.device("cpu")


def one_hot(codes: list[list[int]], K: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(codes), K).float()


def test_uniform_use_has_perplexity_K_and_a_single_codeword_has_one() -> None:
    usage = Usage(2, 16, CPU)
    usage.update(one_hot([[k, 3] for k in range(16)], 16))  # book 0: every codeword once; book 1: one of them
    assert usage.perplexity() == pytest.approx((16 + 1) / 2, abs=1e-5)
    assert usage.share() == (16 + 1) / 32


def test_a_code_s_usage_by_hand() -> None:
    # Book 0: shares 1/2, 1/4, 1/4 → entropy 1.5 ln 2 → perplexity 2^1.5; book 1: two codewords, half each.
    codes = np.array([[0, 5], [0, 5], [1, 9], [2, 9]], np.uint8)
    used, perplexity = usage_of(codes, 16)
    assert used == (3 + 2) / 2 / 16
    assert perplexity == pytest.approx((2**1.5 + 2) / 2, abs=1e-12)
    assert perplexity == pytest.approx((reference.perplexity([2, 1, 1]) + reference.perplexity([2, 2])) / 2)


def test_old_batches_fade() -> None:
    usage = Usage(1, 4, CPU, fade=0.5)
    for codeword in (0, 0, 1):
        usage.update(one_hot([[codeword], [codeword]], 4))
    assert usage.counts.tolist() == [[1.5, 2.0, 0.0, 0.0]]  # 2/4 + 2/2, then 2
    assert usage.share() == 0.5
    assert usage.perplexity() == pytest.approx(reference.perplexity([1.5, 2.0]), abs=1e-6)
    usage.update(one_hot([[1], [1]], 4))
    assert usage.share() == 0.25  # .75 of a picture is none


def test_nothing_seen_is_nothing_in_use() -> None:
    usage = Usage(2, 16, CPU)
    assert usage.share() == 0.0


def test_the_verdict_says_plainly_when_training_did_not_help() -> None:
    before = ViewFigures(recall_at_1=0.40, used=0.5, perplexity=7.0)
    better = Verdict(100, ViewFigures(0.60, 1.0, 15.0), before)
    same = Verdict(100, ViewFigures(0.45, 1.0, 15.0), before)
    worse = Verdict(100, ViewFigures(0.20, 1.0, 15.0), before)
    assert (better.helped, same.helped, worse.helped) == (True, False, False)
    assert better.sentence(64, 500).startswith("Training helped: on 100 held-out pictures")
    assert "60.0% of cases (the untrained network: 40.0%)" in better.sentence(64, 500)
    assert same.sentence(64, 500).startswith("Whether training helped cannot be told: ")
    assert worse.sentence(64, 500).startswith("Training did not help: ")
    assert same.sentence(64, 0).startswith("Not trained, as asked: ")
    assert "(codes at the start: 40.0%)" in same.sentence(64, 500, clusters=True)
    gains = {"before": (0.1, 0.2), "thumbnails": (-0.2, -0.1)}
    shares = {name: Share(0.3, 0.2, 0.4, 0.03) for name in ("learned", *gains)}
    beaten = replace(better, halves=Judged(300, shares, gains), K=16)
    assert not beaten.helped, "random views found again are no help where thumbnails know the pictures better"
    told = beaten.sentence(64, 500)
    assert told.startswith(
        "Training did not help enough: colour thumbnails are better: through 64-bit codes the two"
    )
    assert "their codes use 100% as many codewords as random ones would" in told
    assert better.to_json()["untrained"] == {
        "recall_at_1": 0.40,
        "used": 0.5,
        "perplexity": 7.0,
        "loss": None,
    }


def test_few_pictures_are_too_few_to_tell_whatever_they_say() -> None:
    """2 of 7 found again, none before, with 30 % of the codewords in use: seven random codes would use no more."""
    few = Verdict(7, ViewFigures(2 / 7, 0.30, 4.0), ViewFigures(0.0, 0.1, 2.0), K=16)
    assert few.helped is False and few.collapsed is False
    assert few.sentence(64, 100).startswith(
        "Too few pictures to tell whether training helped: on 7 held-out pictures"
    )
    all_found = Verdict(29, ViewFigures(1.0, 0.5, 9.0), ViewFigures(0.0, 0.5, 9.0), K=16)
    assert all_found.sentence(64, 100).startswith("Too few pictures to tell")


def test_the_interval_of_a_share_is_that_of_its_widest_spread() -> None:
    # p = .5 and .4 of 100: √(.25 + .24) / 10 = .07, times 1.96 = .1372
    assert raised(0.5, 0.4, 100) is None and raised(0.5, 0.4, 200) is True  # .0970
    assert raised(0.4, 0.5, 200) is False and raised(0.4, 0.4, 10_000) is None
    assert raised(1.0, 0.0, 30) is True and raised(1.0, 0.0, 29) is None
    assert lead("Learning", None, 100) == "Whether learning helped cannot be told"
    assert lead("Learning", False, 100) == "Learning did not help"


def test_a_collapse_is_named_beside_what_helped() -> None:
    shares = {name: Share(0.3, 0.2, 0.4, 0.03) for name in ("learned", "before", "thumbnails")}
    halves = Judged(300, shares, {"before": (0.1, 0.2), "thumbnails": (0.1, 0.2)})
    collapsed = Verdict(300, ViewFigures(0.6, 0.3, 3.0), ViewFigures(0.4, 0.9, 9.0), halves, K=16)
    told = collapsed.sentence(64, 500)
    assert told.startswith("Training helped: ")
    assert "the codebooks have collapsed, their codes use 30% as many codewords as random ones would" in told
    assert told.endswith("try another --method or more pictures.")
    assert collapsed.collapsed and collapsed.to_json()["collapsed"] is True
    whole = replace(collapsed, trained=ViewFigures(0.6, 0.9, 12.0))
    assert not whole.collapsed and "collapsed" not in whole.sentence(64, 500)


def test_a_batch_of_one_code_is_a_collapse() -> None:
    usage = Usage(2, 4, CPU)
    p = torch.zeros(6, 2, 4)
    p[:, 0, 3] = p[:, 1, 1] = 1.0
    usage.update(p)
    assert usage.collapsed()
    p[5, 1] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    usage.update(p)
    assert not usage.collapsed()
