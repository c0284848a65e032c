from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sightbook.learn.halves import Share
from sightbook.learn.judged import Judged
from sightbook.learn.usage import Usage
from sightbook.learn.verdict import Figures, Verdict, usage_of
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
    before = Figures(recall_at_1=0.40, used=0.5, perplexity=7.0)
    better = Verdict(100, Figures(0.4101, 1.0, 15.0), before)
    same = Verdict(100, Figures(0.41, 1.0, 15.0), before)
    assert (better.helped, same.helped) == (True, False)  # more than one in a hundred
    assert better.sentence(64, 500).startswith("Training helped: on 100 held-out pictures")
    assert "41.0% of cases (the untrained network: 40.0%)" in better.sentence(64, 500)
    assert same.sentence(64, 500).startswith("Training did not help: ")
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


def test_a_batch_of_one_code_is_a_collapse() -> None:
    usage = Usage(2, 4, CPU)
    p = torch.zeros(6, 2, 4)
    p[:, 0, 3] = p[:, 1, 1] = 1.0
    usage.update(p)
    assert usage.collapsed()
    p[5, 1] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    usage.update(p)
    assert not usage.collapsed()
