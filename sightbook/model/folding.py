"""An encoder with the description in its graph: pixels → features → x, in one file for other programs."""

from __future__ import annotations

from typing import Any

import numpy as np

from sightbook.describe.description import Description
from sightbook.describe.vectors import LARGEST
from sightbook.errors import MissingExtra

_SHORTEST = np.float32(1e-12)  # as in `describe.vectors.unit`: a row of zeros stays one


def fold(encoder: bytes, description: Description) -> bytes:
    """encoder.onnx that gives features (N, F) → the same with x (N, D) as its first output, the features after it.

    MissingExtra when the package onnx is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError:
        raise MissingExtra("Exporting the encoder of a described model", "train") from None
    from onnx import TensorProto, helper, numpy_helper

    model: Any = onnx.load_from_string(encoder)
    graph = model.graph
    _make_room(graph)
    constants = {
        **{f"describe/{name}": array for name, array in description.tensors().items()},
        "describe/axis": np.array([1], np.int64),
        "describe/shortest": _SHORTEST,
        "describe/largest": np.float32(LARGEST),
        "describe/least": np.float32(-LARGEST),
    }

    def unit(name: str, result: str) -> list[Any]:
        square, total, root, length = (f"{result}/{part}" for part in ("square", "sum", "root", "length"))
        return [
            helper.make_node("Mul", [name, name], [square]),
            helper.make_node("ReduceSum", [square, "describe/axis"], [total], keepdims=1),
            helper.make_node("Sqrt", [total], [root]),
            helper.make_node("Max", [root, "describe/shortest"], [length]),
            helper.make_node("Div", [name, length], [result]),
        ]

    # x = unit( P (unit(s · f) − μ) ) − c, of f as `describe.vectors.halved` has it
    nodes = [
        helper.make_node("Clip", ["features", "describe/least", "describe/largest"], ["describe/clipped"]),
        helper.make_node("Cast", ["describe/clipped"], ["describe/halved"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["describe/halved"], ["describe/features"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["describe/features", "describe/scale"], ["describe/scaled"]),
        *unit("describe/scaled", "describe/unit"),
        helper.make_node("Sub", ["describe/unit", "describe/centre"], ["describe/centred"]),
        helper.make_node("MatMul", ["describe/centred", "describe/weights"], ["describe/projected"]),
        *unit("describe/projected", "describe/direction"),
        helper.make_node("Sub", ["describe/direction", "describe/middle"], ["x"]),
    ]
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items())
    features = next(output for output in graph.output if output.name == "features")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [_batch(features), description.d])
    del graph.output[:]
    graph.output.extend([x, features])
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _make_room(graph: Any) -> None:
    """Gives what is called x inside the encoder another name."""
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == "x":
                    names[place] = "encoder/x"
    for named in (*graph.initializer, *graph.value_info):
        if named.name == "x":
            named.name = "encoder/x"


def _batch(output: Any) -> Any:
    """The name of the batch dimension, so that it stays one dimension."""
    return output.type.tensor_type.shape.dim[0].dim_param or "N"
