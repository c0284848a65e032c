"""A library of vectors from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.cli.conftest import Run
from tests.library.pictures import fill
from tests.tiny import tiny_described_model, tiny_model, tiny_vectors_model

ROWS = np.random.default_rng(1).normal(size=(40, 12)).astype(np.float32)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """model/, other/ (of vectors), v.npy, and library/ of them."""
    tiny_vectors_model(tmp_path / "model")
    tiny_vectors_model(tmp_path / "other", M=8, seed=3)
    np.save(tmp_path / "v.npy", ROWS)
    with Library.open(tmp_path / "library", create_with=tmp_path / "model") as library:
        library.add(tmp_path / "v.npy")
    return tmp_path


def test_add_says_what_comes_next(here: Path, run: Run) -> None:
    done = run("add", "new", "v.npy", "--model", "model")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("40 added, 0 unchanged; took ")
    assert done.stdout.endswith("vectors/s)\nNext: sightbook search new VECTOR.npy\n")
    assert "encode: 40/40 vectors" in done.stderr
    assert run("add", "new", "v.npy").stdout.startswith("0 added, 40 unchanged")


def test_search_asks_with_each_row(here: Path, run: Run) -> None:
    np.save(here / "one.npy", ROWS[3])
    np.save(here / "two.npy", ROWS[5:7])
    done = run("search", "library", "one.npy", "two.npy", "-k", "2", "--json")
    document = json.loads(done.stdout)
    queries = document["queries"]
    assert [query["query"] for query in queries] == ["one.npy", "two.npy row 0", "two.npy row 1"]
    with Library.open(here / "library") as library:
        wanted = library.search_vectors(ROWS[[3, 5, 6]], 2)
    found = [
        (hit["query"], hit["rank"], hit["path"], hit["raw"]) for query in queries for hit in query["hits"]
    ]
    assert found == [(hit.query, hit.rank, hit.path, hit.raw) for hit in wanted]
    text = run("search", "library", "two.npy", "-k", "1").stdout.splitlines()
    assert text[0] == "two.npy row 0" and text[3] == "two.npy row 1"
    assert text[1].endswith(f"{here}/v.npy row {wanted[2].path}")


def test_a_bad_query_is_skipped_and_only_bad_ones_are_a_failure(here: Path, run: Run) -> None:
    np.save(here / "one.npy", ROWS[3])
    np.save(here / "short.npy", ROWS[3, :5])
    np.save(here / "objects.npy", np.array([{}]), allow_pickle=True)
    done = run("search", "library", "short.npy", "objects.npy", "none.npy", "one.npy", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert [query["query"] for query in document["queries"]] == ["one.npy"]
    assert [failed["query"] for failed in document["failed"]] == ["short.npy", "objects.npy", "none.npy"]
    assert "short.npy is skipped: vectors must have 12 numbers each" in done.stderr
    alone = run("search", "library", "short.npy")
    assert alone.returncode == 1
    assert alone.stderr.splitlines()[-1] == "sightbook: none of the vectors to search with could be read"


def test_pictures_and_vectors_are_told_apart(here: Path, run: Run) -> None:
    fill(here / "photos", 2)
    tiny_model(here / "pictures")
    for arguments, what in (
        (
            ("search", "library", "photos/000.png"),
            "holds vectors of 12 numbers, and photos/000.png is no .npy file",
        ),
        (
            ("search", "library", "v.npy", "--sheet", "s.png"),
            "vectors have no pictures to draw: leave --sheet out",
        ),
        (
            ("add", "library", "photos"),
            "library takes vectors of 12 numbers",
        ),
        (("add", "new", "photos", "--model", "model"), "holds pictures, and the model of new takes vectors"),
        (
            ("add", "new", "v.npy", "--model", "pictures"),
            "holds vectors, and the model of new takes pictures",
        ),
        (
            ("export", "model", "--format", "onnx", "--out", "e.onnx"),
            "takes vectors and has no encoder to export",
        ),
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (1, ""), arguments
        assert what in done.stderr and "Traceback" not in done.stderr
    np.save(here / "longer.npy", np.zeros((5, 13)))
    for library in ("new", "library"):
        done = run("add", library, "longer.npy", "--model", "model")
        assert (done.returncode, done.stdout) == (1, "")
        assert (
            f"longer.npy holds vectors of 13 numbers, and the model of {library} takes vectors of 12 numbers: give"
            in done.stderr
        )
    assert not (here / "new").exists() and not (here / "e.onnx").exists()
    run("add", "of-pictures", "photos", "--model", "pictures", "--jobs", "1")
    done = run("search", "of-pictures", "v.npy")
    assert done.returncode == 1
    assert "of-pictures holds pictures, and v.npy a vector: ask with a picture file" in done.stderr


def test_the_other_verbs_work_on_vectors(here: Path, run: Run) -> None:
    assert f"{here}/v.npy (vectors): 40 vectors" in run("status", "library").stdout
    checked = run("check", "library")
    assert checked.returncode == 0 and "pictures" not in checked.stdout
    assert checked.stdout.count("40 vectors") == 2, "of the catalogue and of its source"
    assert run("migrate", "library", "--model", "other").stdout.startswith(
        "40 vectors have codes of other now"
    )
    assert run("remove", "library", f"{here}/v.npy row 7").returncode == 0
    assert run("compact", "library").returncode == 0
    for format_ in ("faiss", "parquet", "embeddings"):
        done = run("export", "library", "--format", format_, "--out", f"out.{format_}")
        assert (done.returncode, done.stdout) == (0, f"out.{format_}: 39 vectors\n"), done.stderr
    # The embeddings are a file of vectors themselves.
    (here / "out.embeddings").rename(here / "out.parquet2.parquet")
    tiny_vectors_model(here / "of-eight", F=8)
    assert run("add", "eight", "out.parquet2.parquet", "--model", "of-eight").stdout.startswith("39 added")
    assert run("remove", "library", f"{here}/v.npy").returncode == 0
    assert json.loads(run("status", "library", "--json").stdout)["pictures"] == 0


def test_the_encoder_of_a_described_model_is_exported_whole(here: Path, run: Run) -> None:
    tiny_described_model(here / "described")
    done = run("export", "described", "--format", "onnx", "--out", "e.onnx")
    assert (done.returncode, done.stdout) == (0, "e.onnx: pixels in, embeddings out\n"), done.stderr


def test_training_on_vectors_is_model_fit(here: Path, run: Run) -> None:
    rows = np.random.default_rng(4).normal(size=(300, 12)).astype(np.float32)
    np.save(here / "many.npy", rows)
    done = run("train", "many.npy", "--out", "trained", "--bits", "32")
    assert done.returncode == 0, done.stderr
    assert "32-bit codes were learned in " in done.stdout and "300 different vectors" in done.stdout
    assert "Next:  sightbook add LIBRARY many.npy --model trained" in done.stdout
    assert Model.open(here / "trained").fingerprint == Model.fit(rows, here / "fitted", bits=32).fingerprint
    np.save(here / "part0.npy", rows[:100])
    np.save(here / "part1.npy", rows[100:])
    done = run("train", "part0.npy", "part1.npy", "--out", "again", "--bits", "32", "--json")
    report = json.loads(done.stdout)
    assert (report["pictures"], report["bits"]) == (300, 32)
    assert report["fingerprint"] == Model.open(here / "trained").fingerprint


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (
            ("--epochs", "1", "--backbone", "vit"),
            "--backbone, --epochs would do nothing: vectors are learned from",
        ),
        (("--set", "tau=1"), "--set would do nothing"),
        (("--seed", "0"), "--seed would do nothing"),
        (("--resume",), "--resume would do nothing"),
        (("--method", "rcq"), "method rcq learns from pictures: vectors need --method neighbours"),
        (("--bits", "12"), "12 bits cannot be made"),
    ],
)
def test_what_cannot_apply_to_vectors_is_refused(
    here: Path, run: Run, options: tuple[str, ...], what: str
) -> None:
    done = run("train", "v.npy", "--out", "trained", *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert what in done.stderr and not (here / "trained").exists()


def test_evaluate_judges_labelled_vectors(here: Path, run: Run) -> None:
    names = {b"huggingface": b'{"info": {"features": {"label": {"names": ["cat", "dog"]}}}}'}
    things = np.repeat(np.random.default_rng(1).normal(size=(2, 12)), 60, axis=0)
    rows = things + 0.1 * np.random.default_rng(2).normal(size=(120, 12))
    table = pa.table({"embedding": rows.tolist(), "label": [n // 60 for n in range(120)]})
    pq.write_table(table.replace_schema_metadata(names), here / "labelled.parquet")
    assert run("train", "labelled.parquet", "--out", "trained", "--bits", "16").returncode == 0
    arguments = ("evaluate", "trained", "--protocol", "labelled", "--data", "labelled.parquet", "-R", "50")
    done = run(*arguments, "--baseline", "all", "--plots", "plots", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["queries"], report["database"], report["classes"]) == (12, 108, 2)
    assert report["map"] == report["baselines"]["float"]["map"] == report["baselines"]["features"]["map"] == 1
    assert "the baseline thumbnail was left out: vectors have no colours" in report["notes"]
    assert sorted(path.name for path in (here / "plots").iterdir()) == [
        "codewords.png", "precision.png", "recall.png"
    ]  # fmt: skip
    assert "encode: 120/120 vectors" in done.stderr
    done = run(*arguments, "--against", "other")
    assert done.returncode == 0 and "other" in done.stdout
    tiny_vectors_model(here / "of-eight", F=8)
    done = run(*arguments, "--against", "of-eight")
    assert done.returncode == 1 and "of-eight takes vectors of 8 numbers, and trained of 12" in done.stderr
    tiny_model(here / "pictures")
    for models in (("pictures",), ("trained", "--against", "pictures"), ("pictures", "--against", "trained")):
        done = run("evaluate", *models, *arguments[2:])
        assert done.returncode == 1 and "Traceback" not in done.stderr and "vectors" in done.stderr
