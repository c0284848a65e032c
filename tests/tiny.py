"""A real MODEL folder made in milliseconds without torch: a random linear encoder over mean-pooled pixels, as ONNX."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sightbook import __version__
from sightbook.codes.tables import Metric
from sightbook.describe.description import Description
from sightbook.describe.learn import Strength
from sightbook.images.pixels.frame import Frame
from sightbook.model.config import ModelConfig
from sightbook.model.fit import Fitted, fit, write
from sightbook.model.folder import write_codebooks, write_config
from sightbook.model.graph import open_session


def tiny_model(
    folder: Path,
    *,
    M: int = 4,
    K: int = 16,
    d: int = 4,
    size: int = 16,
    seed: int = 0,
    nested: tuple[int, ...] = (),
    metric: Metric = "inner",
) -> Path:
    """Writes the folder and returns it. Different seeds give different fingerprints."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    D, pooled = M * d, size // 4
    weight = random.normal(size=(3 * pooled * pooled, D)).astype(np.float32)
    constants = {
        "half": np.float32(127.5),
        "weight": weight,
        "flat": np.array([0, -1], np.int64),
        "parts": np.array([0, M, d], np.int64),
        "whole": np.array([0, D], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["float", "half"], ["centred"]),
        helper.make_node("Div", ["centred", "half"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["nchw"], ["pool"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Reshape", ["pool", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weight"], ["projected"]),
        helper.make_node("Reshape", ["projected", "parts"], ["sub"]),
        helper.make_node("LpNormalization", ["sub"], ["unit"], axis=2, p=2),
        helper.make_node("Reshape", ["unit", "whole"], ["x"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", size, size, 3])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", D])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 8
    onnx.save(proto, folder / "encoder.onnx")
    codebooks = random.normal(size=(M, K, d)).astype(np.float32)
    if metric == "inner":
        codebooks /= np.linalg.norm(codebooks, axis=2, keepdims=True)
    write_codebooks(folder, codebooks)
    config = ModelConfig(
        "tiny", M, K, D, Frame(size, size, "bilinear"), (0.5,) * 3, (0.5,) * 3, nested=nested,
        metric=metric,
    )  # fmt: skip
    write_config(folder, config, __version__)
    return folder


def tiny_vectors_model(
    folder: Path, *, F: int = 12, M: int = 4, K: int = 16, d: int = 8, seed: int = 0
) -> Path:
    """A model that takes vectors of F numbers, its description and codebooks random."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write_described(folder, np.random.default_rng(seed), (F, M, K, d), None)
    return folder


def tiny_described_model(
    folder: Path, *, M: int = 4, K: int = 16, d: int = 8, size: int = 16, seed: int = 0, inner: str = "row"
) -> Path:
    """A model of pictures whose encoder gives features, mean-pooled pixels, that a random description makes x of.

    inner: what a value inside the encoder is called.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["nchw"], [inner], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", [inner], ["features"]),
    ]
    F = 3 * (size // 4) ** 2
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", size, size, 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", F])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 8
    onnx.save(proto, folder / "encoder.onnx")
    _write_described(folder, random, (F, M, K, d), Frame(size, size, "bilinear"))
    return folder


def tiny_described(folder: Path, *, bits: int = 32, size: int = 16, seed: int = 0, fine: bool = True) -> Path:
    """Writes the folder of a described model: a random linear encoder that gives `features`, and what `fit` learns of
    random pictures. fine: with the constants of fine codes."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    pooled, F = size // 4, 24
    constants = {
        "half": np.float32(127.5),
        "weight": random.normal(size=(3 * pooled * pooled, F)).astype(np.float32),
        "flat": np.array([0, -1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["float", "half"], ["centred"]),
        helper.make_node("Div", ["centred", "half"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["nchw"], ["pool"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Reshape", ["pool", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weight"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", size, size, 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", F])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 8
    onnx.save(proto, folder / "encoder.onnx")
    pixels = random.integers(0, 256, (300, size, size, 3), np.uint8)
    (features,) = open_session(folder / "encoder.onnx", 1).run(["features"], {"pixels": pixels})
    fitted = fit(features, bits, strength=Strength())
    write(
        fitted if fine else replace(fitted, fine=None),
        folder,
        __version__,
        frame=Frame(size, size, "bilinear"),
    )
    return folder


def _write_described(
    folder: Path, random: np.random.Generator, shape: tuple[int, int, int, int], frame: Frame | None
) -> None:
    F, M, K, d = shape

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    description = Description(abs(normal(F)), 0.1 * normal(F), normal(F, d), 0.1 * normal(d))
    fitted = Fitted(description, normal(M, K, d), {})
    write(fitted, folder, __version__, frame=frame, card=lambda config: "")
