"""What the demo prints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from sightbook.demo.report import Report

DRAWN = Report(
    folder=Path("d"),
    pictures=6000,
    drawn=True,
    model=Path("d/model"),
    library=Path("d/library"),
    sheet=Path("d/sheet.png"),
    bits=64,
    seconds=118.4,
    seconds_training=70.2,
    recall_at_1=0.8,
    recall_at_1_untrained=0.1,
    ap_definition="hits-in-top-R",
    R=100,
    queries=600,
    map=0.55,
    map_untrained=0.25,
    map_thumbnail=0.2,
    map_random=0.125,
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
    assert "Look at:  d/sheet.png" in lines
    assert "did not help" not in DRAWN.text()


def test_a_training_that_did_not_help_is_told_plainly() -> None:
    assert "Training did not help here" in replace(DRAWN, map=0.25).text()


def test_without_labels_the_verdict_counts_views_found_again() -> None:
    own = replace(DRAWN, drawn=False, map=None, ap_definition=None, recall_at_1=0.05)
    text = own.text()
    assert "Does a random view of a picture find that picture first?" in text
    assert "mAP" not in text and "twelve kinds" not in text
    assert "Training did not help here" in text


def test_json_has_every_figure_and_plain_paths() -> None:
    document = json.loads(json.dumps(DRAWN.to_json()))
    assert document["map_thumbnail"] == 0.2 and document["sheet"] == "d/sheet.png"
    assert list(document) == list(Report.__slots__)
