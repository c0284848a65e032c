"""The built-in network as a torch module, for what needs one: learning by steps, random views, a GPU.

Its graph holds the convolutions with the batch normalizations folded in, under the names they had in torch. So each
convolution gets its weights back, and the normalization behind it nothing but the offset.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from sightbook.errors import ModelError
from sightbook.model.builtin import Builtin
from sightbook.model.torch import lite

_BODY = "backbone.body."
_HALF, _BIAS = "_half", "_bias"
_CONVOLUTION, _NORM = ".convolution", ".normalization"


def body(known: Builtin) -> nn.Module:
    """The module with the weights of the graph; ModelError when they are not those of its architecture."""
    made = lite.Lite()
    weights = _weights(known)
    modules = dict(made.named_modules())
    with torch.no_grad():
        for name, module in modules.items():
            if not isinstance(module, nn.Conv2d):
                continue
            weight, bias = weights.pop(f"{name}.weight", None), weights.pop(f"{name}.weight{_BIAS}", None)
            norm = modules.get(name.removesuffix(_CONVOLUTION) + _NORM)
            if weight is None or bias is None or not isinstance(norm, nn.BatchNorm2d):
                raise ModelError(f"{known.encoder} lacks weights of {name}: install sightbook again")
            module.weight.copy_(torch.from_numpy(weight))
            assert norm.running_mean is not None and norm.running_var is not None
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)
            norm.weight.fill_(1.0)
            norm.bias.copy_(torch.from_numpy(bias))
    if weights:
        raise ModelError(f"{known.encoder} holds {min(weights)}, which has no place: install sightbook again")
    return made


def _weights(known: Builtin) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """The graph's weights and offsets by their names in torch, float32."""
    found = {}
    for weight in onnx.load(known.encoder).graph.initializer:
        if weight.name.startswith(_BODY):
            name = weight.name.removeprefix(_BODY).removesuffix(_HALF)
            found[name] = numpy_helper.to_array(weight).astype(np.float32)
    return found
