"""The label-free verdict: does a random view of a held-out picture find that picture again, through the codes?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sightbook.codes import oracle
from sightbook.codes.tables import assign, tables
from sightbook.learn.halves import resize
from sightbook.learn.judged import THUMBNAILS, Judged, lead, raised
from sightbook.learn.views import Views
from sightbook.model.torch.freezing import evaluating
from sightbook.model.torch.network import Network
from sightbook.words import counted

_CHUNK = 256
VIEW_SEED = 20_240_115  # the same views for every model that is judged on the same pictures
COLLAPSED = 0.5  # codewords in use beside those of random codes: with fewer, many pictures have one code


@dataclass(frozen=True)
class ViewFigures:
    """recall_at_1 in 0..1; codeword usage over the held-out pictures' codes: share in use, perplexity; the method's
    loss on their views (None: too few pictures for it)."""

    recall_at_1: float
    used: float
    perplexity: float
    loss: float | None = None

    @property
    def worth(self) -> tuple[bool, float]:
        """What the states of one run are chosen by, the larger the better: the loss, turned round, which follows mAP
        far more closely than recall@1 does (docs/results.md); that where no state has a loss. One without stands below
        all that have one: its loss was no number. Not for comparing runs."""
        return (False, self.recall_at_1) if self.loss is None else (True, -self.loss)


@dataclass(frozen=True)
class Verdict:
    """Held-out figures of the trained model beside those of the untrained one; `halves`, which stand above them: its
    codes beside simpler things (None: of a model on the way, or of fewer than three pictures)."""

    pictures: int
    trained: ViewFigures
    untrained: ViewFigures
    halves: Judged | None = None
    K: int | None = None

    @property
    def helped(self) -> bool:
        """Whether training made better codes, for certain: than the untrained network's, and than colour thumbnails;
        without `halves`, whether it raised recall@1."""
        if self.halves is not None:
            return self.halves.helped is True and THUMBNAILS not in self.halves.beaten_by
        return self._by_views is True

    @property
    def _by_views(self) -> bool | None:
        return raised(self.trained.recall_at_1, self.untrained.recall_at_1, self.pictures)

    @property
    def collapsed(self) -> bool:
        """Whether the codes of held-out pictures use far fewer codewords than random ones would."""
        return self.usage is not None and self.usage < COLLAPSED

    def sentence(self, bits: int, steps: int, *, clusters: bool = False) -> str:
        """What a user should know, in plain words; `steps` of training were made. clusters: codes started from clusters
        of a backbone's features, which is no untrained network."""
        now, before = self.trained, self.untrained
        start = "codes at the start" if clusters else "the untrained network"
        views = (
            f"on {counted(self.pictures, 'held-out picture')} a random view finds its own picture first in "
            f"{now.recall_at_1:.1%} "
            f"of cases ({start}: {before.recall_at_1:.1%})"
        )
        if self.usage is not None:
            few = "the codebooks have collapsed, " if self.collapsed else ""
            views += f"; {few}their codes use {self.usage:.0%} as many codewords as random ones would"
        halves = self.halves
        if steps == 0 or halves is None:
            by_views = lead("Training", self._by_views, self.pictures)
            return f"{'Not trained, as asked' if steps == 0 else by_views}: {views}."
        advice = halves.advice
        if self.collapsed:
            advice += (
                " Codes of so few codewords tell few pictures apart: try another --method or more pictures."
            )
        if not self.helped and not advice:
            advice = " Train longer, or give more pictures."
        return f"{halves.lead('Training')}: {halves.facts(bits, start)}; {views}.{advice}"

    @property
    def usage(self) -> float | None:
        """Codewords in use beside those that as many random codes would use; None where K is not known."""
        if self.K is None or self.pictures == 0:
            return None
        return self.trained.used / (1 - (1 - 1 / self.K) ** self.pictures)

    def to_json(self) -> dict[str, Any]:
        return {
            "pictures": self.pictures,
            "trained": asdict(self.trained),
            "untrained": asdict(self.untrained),
            "halves": None if self.halves is None else self.halves.to_json(),
            "helped": self.helped,
            "collapsed": self.collapsed,
        }


@torch.no_grad()
def measure(
    network: Network,
    views: Views,
    pictures: NDArray[np.uint8],
    device: torch.device,
    *,
    loss: float | None = None,
) -> ViewFigures:
    """pictures (n, R, R, 3) uint8 → ViewFigures with the given loss; the training mode is as before afterwards.

    Each picture's fixed view is stored as a code; one random view of each is the query (asymmetric score, ties by
    picture number, which follows the content hash).
    """
    state = torch.random.get_rng_state()
    torch.manual_seed(VIEW_SEED)
    stored, queries = [], []
    with evaluating(network):
        for start in range(0, len(pictures), _CHUNK):
            chunk = torch.from_numpy(np.ascontiguousarray(pictures[start : start + _CHUNK])).to(device)
            stored.append(network(views.fixed(chunk)).float().cpu().numpy())
            queries.append(network(views(chunk, copies=1)).float().cpu().numpy())
    torch.random.set_rng_state(state)
    codebooks = network.quantizer.codewords().float().cpu().numpy()
    codes = assign(np.concatenate(stored), codebooks, network.metric)
    first, _ = oracle.search(tables(np.concatenate(queries), codebooks, network.metric), codes, 1)
    recall = float(np.mean(first[:, 0] == np.arange(len(codes))))
    return ViewFigures(recall, *usage_of(codes, codebooks.shape[1]), loss)


def usage_of(codes: NDArray[np.uint8], K: int) -> tuple[float, float]:
    """codes (N, M) → (share of codewords in use, perplexity), means over codebooks."""
    used, perplexity = [], []
    for column in codes.T:
        share = np.bincount(column, minlength=K) / len(codes)
        positive = share[share > 0]
        used.append(len(positive) / K)
        perplexity.append(float(np.exp(-(positive * np.log(positive)).sum())))
    return float(np.mean(used)), float(np.mean(perplexity))


def read_verdict(facts: Mapping[str, Any], K: int) -> Verdict:
    """The verdict that config.json tells, of a model with K codewords a codebook."""
    told = facts.get("halves")
    return Verdict(
        facts["pictures"],
        ViewFigures(**facts["trained"]),
        ViewFigures(**facts["untrained"]),
        None if told is None else Judged.of(told),
        K,
    )


def embedder(
    network: Network, views: Views, device: torch.device
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Pictures (n, R, R, 3) uint8, brought to the network's size → embeddings (n, D), as the encoder would give."""

    @torch.no_grad()
    def embed(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = []
        with evaluating(network):
            for start in range(0, len(pictures), _CHUNK):
                chunk = resize(pictures[start : start + _CHUNK], views.size)
                found.append(network(views.fixed(torch.from_numpy(chunk).to(device))).float().cpu().numpy())
        return np.concatenate(found)

    return embed
