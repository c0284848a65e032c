"""Turns a trained model into one that is released with the program: weights as fp16, encoder and card made anew.

    python benchmarks/tools/release.py RUN NAME --results results/cifar10-cpu-30.json --cell rcq
        --terms "none but its pictures': CIFAR-10 (Krizhevsky 2009), for research; cite its report"

RUN is the MODEL folder of that run. The release goes to sightbook/released/NAME; then check its figures by
`sightbook evaluate NAME --protocol … --data …` and write them into docs/log.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.torch import save

import sightbook
from sightbook.files import write_atomic
from sightbook.model.folder import write_codebooks, write_config
from sightbook.model.torch.network import PixelEncoder, load
from sightbook.model.torch.onnx import export

LIMIT = 16 * 2**20


def main() -> None:
    """Writes the folder and tells its size."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("run", type=Path)
    options.add_argument("name")
    options.add_argument("--results", type=Path, required=True)
    options.add_argument("--cell", required=True)
    options.add_argument("--terms", required=True, help="under which terms its training pictures were used")
    given = options.parse_args()
    network, config = load(given.run)
    halves = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    network.load_state_dict(halves)  # rounded: what is released is what is measured
    folder = Path(sightbook.__file__).parent / "released" / given.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    export(PixelEncoder(network.eval(), config.mean, config.std), folder / "encoder.onnx", config.frame.size)
    write_atomic(
        folder / "model.safetensors", save({name: each.contiguous() for name, each in halves.items()})
    )
    write_codebooks(folder, network.quantizer.codewords().detach().numpy().astype(np.float32))
    shutil.copy(given.run / "train" / "config.yaml", folder / "recipe.yaml")
    card = (given.run / "README.md").read_text(encoding="utf-8")
    written = write_config(folder, replace(config, fingerprint="", files={}), config.sightbook)
    for told, instead in (
        (config.fingerprint, written.fingerprint),
        ("THIS_FOLDER", given.name),
        ("`train/` tells how it came about", "`recipe.yaml` holds the settings it was trained by"),
        ("yours: nothing but your pictures went in", given.terms),
    ):
        assert told in card, f"the card has changed: {told!r} is not in it"
        card = card.replace(told, instead)
    write_atomic(folder / "README.md", card + _figures(given.results, given.cell, given.name))
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size / 2**20:.2f} MiB, fingerprint {written.fingerprint}")
    assert size <= LIMIT, "a released model may take 16 MiB"


def _figures(results: Path, cell: str, name: str) -> str:
    """What the run it was made of was measured at, before its weights were rounded."""
    runs = json.loads(results.read_text(encoding="utf-8"))["runs"]
    run = min((run for run in runs if run["cell"] == cell), key=lambda run: run["seed"])
    machine = run["machine"]
    where = machine["accelerator"] or f"{machine['cores']} cores of {machine['processor']}"
    lines = [
        "",
        "## Figures",
        f"{run['protocol']}, mAP@{run['R']} ({run['ap_definition']}), {run['queries']:,} queries, "
        f"{run['database']:,} pictures, selection {run['selection']}, seed {run['seed']}, trained on {where}:",
        f"{run['map']:.4f} at {run['bits']} bits (symmetric {run['map_symmetric']:.4f})"
        + "".join(f", {one['map']:.4f} in its first {one['bits']} bits" for one in run["nested"])
        + ". Weights rounded to fp16 afterwards; check by",
        "",
        f"    sightbook evaluate {name} --protocol {run['protocol']} --data FOLDER",
        "",
        f"Recipe: `recipe.yaml` (`sightbook train SOURCE --out MODEL --config recipe.yaml`), commit {run['commit']}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
