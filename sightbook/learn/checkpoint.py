"""Checkpoints: one safetensors file, written atomically, that holds all a run needs to go on along the same curve.

Nothing random is stored: the order of the pictures and the views of a step are functions of (seed, step).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightbook.errors import ModelError
from sightbook.files import write_atomic

NAME = "checkpoint.safetensors"


@dataclass
class Position:
    """Where a run stands. `seconds` counts the training loop alone, over all its sittings."""

    step: int = 0
    seconds: float = 0.0
    pictures: int = 0
    precision: str = "fp32"
    untrained: dict[str, float] = field(default_factory=dict)
    before: list[float] = field(default_factory=list)  # agreements of the untrained network (`judged`)
    store: str = ""


def save(
    folder: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    kept: Mapping[str, Tensor],
    at: Position,
) -> None:
    """Writes `folder`/checkpoint.safetensors. kept: what else moves, by name."""
    from safetensors.torch import save as to_bytes

    tensors: dict[str, Tensor] = {f"network.{key}": value for key, value in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors.update({f"optimizer.{index}.{key}": value for key, value in state.items()})
    tensors.update({f"kept.{name}": tensor for name, tensor in kept.items()})
    plain = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    # Not save_file: a full disk must be an OSError here, as everywhere, and safetensors has an exception of its own.
    write_atomic(folder / NAME, to_bytes(plain, metadata={"position": json.dumps(asdict(at))}))


def load(
    folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, kept: Mapping[str, Tensor]
) -> Position | None:
    """Puts the state of `folder`'s checkpoint into the three and returns its position; None when there is none.

    kept: tensors of the shapes they were saved with; they are overwritten.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            at = Position(**json.loads(file.metadata()["position"]))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        weights = {
            key.removeprefix("network."): v for key, v in tensors.items() if key.startswith("network.")
        }
        network.load_state_dict(weights)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Any]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".", 2)
                state.setdefault(int(index), {})[name] = _lay_out(parameters[int(index)], value)
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        for name, tensor in kept.items():
            tensor.copy_(tensors[f"kept.{name}"])
    except (OSError, SafetensorError, RuntimeError, LookupError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{path} cannot be resumed from ({reason}): delete it to start over") from None
    return at


def _lay_out(parameter: Tensor, value: Tensor) -> Tensor:
    """`value` with the strides of its parameter (channels last, for one): the fused AdamW on the CPU walks through
    memory and pairs the wrong elements when a moment is laid out differently, without a word."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
