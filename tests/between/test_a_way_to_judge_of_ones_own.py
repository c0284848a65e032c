"""The recipes *A baseline* and *A protocol* of CONTRIBUTING.md, followed and run."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from tests.between.workshop import Workshop, open_workshop
from tests.tiny import tiny_model

LOADER = '''"""Each class by turns: the first picture of each folder asks, all others are searched."""

from __future__ import annotations

from pathlib import Path

from sightbook.evaluate.split import Heard, Split, labelled_only, with_folders_as_labels, with_own_labels


def load_firsts(data: Path, labels: Path | None, junk: str | None, column: str | None = None) -> Split:
    """One query a class."""
    heard = Heard()
    pictures = with_folders_as_labels(with_own_labels(str(data), heard))
    first = {picture.labels: picture for picture in reversed(pictures)}
    queries = [picture for picture in pictures if picture is first[picture.labels]]
    return labelled_only(queries, [each for each in pictures if each not in queries], [], heard)
'''
BASELINE = '''def brightest(reading: Reading, bits: int) -> Baseline:
    """The brightest first, whatever is asked."""
    light = reading.thumbnails.astype(np.float32)
    return Baseline(float_ranker(np.ones((len(reading.queries), light.shape[1]), np.float32), light))


'''


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    made = open_workshop(tmp_path_factory.mktemp("workshop"))
    made.write("evaluate/firsts.py", LOADER)
    taken = "from sightbook.evaluate.firsts import load_firsts\n"
    made.put("evaluate/protocols.py", "from sightbook.evaluate.labels", taken)
    made.put(
        "evaluate/protocols.py",
        '        Protocol("labelled"',
        '        Protocol("firsts", 5, load_firsts),\n',
    )
    made.put("evaluate/baselines.py", "from sightbook.codes.tables", "import numpy as np\n")
    made.put("evaluate/baselines.py", "Make = ", BASELINE)
    made.put("evaluate/baselines.py", "    **CLASSIC,", '    "brightest": brightest,\n')
    for number in range(12):  # a0 is the darkest, c3 the brightest
        path = made.root / "pictures" / "abc"[number // 4] / f"{number % 4}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (20 * number, 20 * number, 20 * number)).save(path)
    tiny_model(made.root / "model")
    return made


def test_help_and_completion_know_them(workshop: Workshop) -> None:
    said = workshop.run("evaluate", "--help").stdout.replace("\n", "")
    assert "|firsts|labelled" in said and "|brightest|" in said
    assert workshop.complete("protocol")[-2:] == ["firsts", "labelled"]
    assert "brightest" in workshop.complete("baseline")


def test_both_judge_as_worked_out_by_hand(workshop: Workshop) -> None:
    options = ["--protocol", "firsts", "--data", "pictures", "--baseline", "brightest", "--json"]
    done = workshop.run("evaluate", "model", *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["protocol"], report["R"], report["queries"], report["database"]) == ("firsts", 5, 3, 9)
    # c3 c2 c1 b3 b2: of c all three at the top, of b the fourth and the fifth, of a none.
    expected = (1 + (1 / 4 + 2 / 5) / 2 + 0) / 3
    assert report["baselines"]["brightest"]["map"] == pytest.approx(expected, abs=1e-9)


def test_a_name_that_is_none_is_refused_with_the_new_ones_listed(workshop: Workshop) -> None:
    done = workshop.run("evaluate", "model", "--protocol", "second", "--data", "pictures")
    assert (done.returncode, done.stderr.strip()) == (
        1, "sightbook: unknown protocol 'second': use one of cifar10-I, cifar10-II, flickr25k, nus-wide-21, firsts, "
        "labelled",
    )  # fmt: skip
