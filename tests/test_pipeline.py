"""The whole path on made-up pictures: train → add → search → evaluate, checked against the slow definitions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import sightbook
from sightbook import Library, Model
from sightbook.evaluate.run import evaluate
from tests.pictures import write_photos

COUNT = 90
QUICK = {"precision": "fp32", "batch": "30"}  # nothing is measured first, and an epoch has more than one step

pytestmark = pytest.mark.timeout(600)  # the first test waits for training


class World:
    """What the stages leave behind, in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.photos, self.model_folder, self.library = folder / "photos", folder / "model", folder / "library"
        self.kinds = write_photos(self.photos, COUNT)
        (self.photos / "broken.jpg").write_bytes((self.photos / "beach.jpg").read_bytes()[:300])
        rows = [f"{name},{kind}" for name, kind in self.kinds.items()]
        (folder / "labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")
        self.trained = sightbook.train(
            self.photos, self.model_folder, bits=32, epochs=1, seed=3, settings=QUICK
        )
        self.model = Model.open(self.model_folder)
        with Library.open(self.library, create_with=self.model) as library:
            self.added = library.add([self.photos])

    def path(self, name: str) -> Path:
        return self.photos / name


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    pytest.importorskip("torch", reason="training needs the extra sightbook[train]")
    return World(tmp_path_factory.mktemp("pipeline"))


def pixels(world: World, names: list[str]) -> NDArray[np.uint8]:
    return np.stack([world.model.prepare(world.path(name).read_bytes()) for name in names])


def slow_scores(model: Model, queries: NDArray[np.float32], codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(Q, N) asymmetric scores, float32, summed m = 0 … M − 1: the definition."""
    tables = model.tables(queries)
    scores = np.zeros((len(queries), len(codes)), np.float32)
    for m in range(model.M):
        scores += tables[:, m, codes[:, m]]
    return scores


def test_a_model_is_what_was_asked_for(world: World) -> None:
    model = world.model
    assert (model.bits, model.K, model.M) == (32, 16, 8)
    assert model.config.pretraining == "none"
    assert model.config.selection in ("last", "label-free")
    np.testing.assert_allclose(np.linalg.norm(model.codebooks, axis=2), 1, atol=1e-5)
    for name in ("config.json", "model.safetensors", "codebooks.safetensors", "encoder.onnx", "README.md"):
        assert (world.model_folder / name).is_file(), name
    lines = (world.model_folder / "train" / "log.jsonl").read_text().splitlines()
    assert lines
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_every_good_picture_is_added_and_the_bad_one_is_named(world: World) -> None:
    assert (world.added.added, world.added.unchanged, world.added.removed) == (COUNT, 0, 0)
    assert ["broken.jpg" in str(failure) for failure in world.added.failed] == [True]


def test_adding_again_changes_nothing(world: World) -> None:
    with Library.open(world.library) as library:
        again = library.add([world.photos])
    assert (again.added, again.changed, again.removed, again.unchanged) == (0, 0, 0, COUNT)


def test_search_is_the_slow_definition(world: World) -> None:
    names = sorted(world.kinds)
    x = world.model.embed(pixels(world, names))
    scores = slow_scores(world.model, x, world.model.assign(x))
    with Library.open(world.library) as library:
        for row, name in enumerate(names[:12]):
            hits = library.search(world.path(name), k=COUNT)
            assert [hit.rank for hit in hits] == list(range(1, COUNT + 1))
            found = {hit.path: hit.raw for hit in hits}
            assert sorted(found) == names
            expected = {other: scores[row, column] for column, other in enumerate(names)}
            np.testing.assert_allclose([found[n] for n in names], [expected[n] for n in names], atol=2e-4)
            order = [(-hit.raw, hit.id) for hit in hits]
            assert order == sorted(order)


def test_no_picture_scores_above_the_query_s_own_nearest_codewords(world: World) -> None:
    names = sorted(world.kinds)[:20]
    x = world.model.embed(pixels(world, names))
    with Library.open(world.library) as library:
        for row, name in enumerate(names):
            best = world.model.tables(x[row : row + 1])[0].max(axis=1).sum()
            hits = library.search(world.path(name), k=COUNT)
            assert hits[0].raw <= best + 2e-4 and hits[0].score <= 1
            own = next(hit for hit in hits if hit.path == name)
            assert own.score == pytest.approx(1, abs=2e-4)
            assert np.mean([hit.score for hit in hits]) == pytest.approx(0, abs=1e-6)


def test_a_copied_library_answers_alone(world: World, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(world.library, copy)
    query = world.path("beach.jpg").read_bytes()
    with Library.open(world.library) as here, Library.open(copy) as there:
        assert [(hit.id, hit.score) for hit in there.search(query, k=20)] == [
            (hit.id, hit.score) for hit in here.search(query, k=20)
        ]


def test_the_command_gives_the_answers_of_python(world: World) -> None:
    command = [sys.executable, "-c", "from sightbook.cli import main; main()"]
    command += ["search", str(world.library), str(world.path("forest.jpg")), "-k", "7", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    with Library.open(world.library) as library:
        hits = library.search(world.path("forest.jpg"), k=7)
    listed = json.loads(done.stdout)["queries"][0]["hits"]
    assert [hit["path"] for hit in listed] == [hit.path for hit in hits]
    np.testing.assert_allclose([hit["score"] for hit in listed], [hit.score for hit in hits], atol=1e-6)


def test_evaluation_is_the_slow_definition(world: World) -> None:
    R = 20
    report = evaluate(world.model, "labelled", world.photos, labels=world.folder / "labels.csv", R=R)
    content = report.to_json()
    document = json.loads(content) if isinstance(content, str) else content
    assert (document["bits"], document["protocol"], document["pretraining"]) == (32, "labelled", "none")

    # The protocol: every 10th key in key order is a query; ids follow the content hash; definition (i) inside R.
    from sightbook.images.load.pool import digest

    names = sorted(world.kinds)
    queries, database = names[::10], [name for place, name in enumerate(names) if place % 10]
    database.sort(key=lambda name: digest(world.path(name).read_bytes()))
    scores = slow_scores(
        world.model,
        world.model.embed(pixels(world, queries)),
        world.model.encode(pixels(world, database)),
    )
    precisions = []
    for row, query in enumerate(queries):
        ranking = np.argsort(-scores[row], kind="stable")[:R]
        hits = np.array([world.kinds[database[place]] == world.kinds[query] for place in ranking])
        at_hits = (np.cumsum(hits) / np.arange(1, R + 1))[hits]
        precisions.append(at_hits.mean() if len(at_hits) else 0.0)
    assert document["map"] == pytest.approx(np.mean(precisions), abs=1e-3)
