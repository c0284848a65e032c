"""What the demo prints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from sightbook.demo.report import DemoReport, Few

DRAWN = DemoReport(
    folder=Path("d"),
    pictures=6000,
    drawn=True,
    model=Path("d/model"),
    library=Path("d/library"),
    sheet=Path("d/sheet.png"),
    bits=64,
    seconds=118.4,
    seconds_training=70.2,
    verdict="Training helped: so much.",
    ap_definition="hits-in-top-R",
    R=100,
    queries=600,
    map=0.55,
    map_untrained=0.25,
    map_thumbnail=0.2,
    map_random=0.125,
    few=Few(pictures=600, queries=120, map=0.5, map_builtin=0.4, map_thumbnail=0.2, map_random=0.125),
)


def test_the_drawn_demo_stands_beside_untrained_thumbnails_and_chance() -> None:
    lines = DRAWN.text().splitlines()
    assert lines[0] == (
        "Learned from 6,000 drawn pictures of twelve kinds for 70 s, without one label; 118 s in all."
    )
    assert [line.split("0.")[0].strip() for line in lines[3:7]] == [
        "random order",
        "colour thumbnails",
        "untrained network",
        "trained network",
    ]
    assert lines[3] == "  random order       0.125 #####"
    assert [line.split("0.")[0].strip() for line in lines[9:13]] == [
        "random order",
        "colour thumbnails",
        "built-in network",
        "trained network",
    ]
    assert "with labels" in lines[8], "what the built-in network was trained with is said beside its figure"
    assert "Look at:  d/sheet.png" in lines
    assert "did not help" not in DRAWN.text()


def test_a_training_that_did_not_help_is_told_plainly() -> None:
    for beside in ("map_untrained", "map_thumbnail", "map_random"):
        assert "Learning did not help here" in replace(DRAWN, **{beside: 0.55}).text()  # type: ignore[arg-type]


def test_without_labels_the_verdict_of_training_stands_for_figures() -> None:
    own = replace(DRAWN, drawn=False, map=None, ap_definition=None, few=None)
    text = own.text()
    assert "Training helped: so much." in text and "mAP" not in text and "twelve kinds" not in text


def test_json_has_every_figure_and_plain_paths() -> None:
    document = json.loads(json.dumps(DRAWN.to_json()))
    assert document["few"]["map_builtin"] == 0.4 and document["sheet"] == "d/sheet.png"
    assert list(document) == list(DemoReport.__slots__)
