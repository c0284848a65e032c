"""One rank of a step, run by test_ranks.py: by itself or under torchrun. Writes what rank 0 holds afterwards."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sightbook.learn import trainer
from sightbook.learn.ranks import from_environment, join, leave
from tests.learn.conftest import config_of, run_of


class FixedViews(nn.Module):
    """Two views of each picture that depend on nothing but the picture."""

    def __init__(self, views: nn.Module) -> None:
        super().__init__()
        self.views = views

    def forward(self, pictures: Tensor) -> Tensor:
        fixed: Tensor = self.views.fixed(pictures)
        return torch.cat([fixed, 0.8 * fixed.flip(3)])


def main(out: Path, method: str, batch: int) -> None:
    torch.set_num_threads(1)
    ranks = from_environment()
    join(ranks, torch.device("cpu"))
    terms = {"terms": {"memory": 12, "memory_after": 0.0}} if method in ("mecoq", "dccq") else {}
    run = run_of(config_of("vit", method=method, batch=batch, clip=0.2, **terms), out.parent, count=32)
    run.ranks = ranks
    run.views = FixedViews(run.views)  # type: ignore[assignment]
    losses = []
    for _ in range(3):
        losses.append(trainer.step(run, None))
        run.at.step += 1
    tensors = {name: value.contiguous() for name, value in run.network.state_dict().items()}
    save_file({**tensors, "losses": torch.tensor(losses)}, out.with_name(f"{out.name}-{ranks.rank}"))
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
