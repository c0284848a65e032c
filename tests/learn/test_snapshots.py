"""Models on the way, and choosing one of them without labels."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import sightbook
from sightbook.errors import ConfigError, ModelError
from sightbook.learn import begin, session, snapshots, writing
from sightbook.learn.verdict import ViewFigures
from tests.learn.conftest import Train, config_of, weights
from tests.learn.test_resume import interrupt_at


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return found


def scripted(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Lets each judgement find the next of `losses` instead of its own, and a recall@1 that says the contrary."""
    rest = iter(losses)

    def judge(*_: object) -> ViewFigures:
        loss = next(rest)
        return ViewFigures(loss / 10, 1.0, 16.0, loss)

    for module in (begin, session, writing):
        monkeypatch.setattr(module, "judge", judge)


def test_snapshots_lie_at_even_parts_of_the_budget_and_change_nothing(
    train: Train, photos: Path, tmp_path: Path
) -> None:
    plain = train(photos, tmp_path / "plain").folder
    watched = train(photos, tmp_path / "watched", settings={"snapshots": 3}).folder
    assert weights(plain) == weights(watched)
    found = snapshots.found(watched / "train")
    assert [(each.folder.name, each.step) for each in found] == [("0250", 2), ("0500", 4), ("0750", 6)]
    for each in found:
        assert (
            facts(each.folder)["selection"] == "last" and facts(each.folder)["trained"]["steps"] == each.step
        )
        assert asdict(each.figures) == facts(each.folder)["verdict"]["trained"]
    assert len({weights(each.folder) for each in found} | {weights(watched)}) == 4


def test_a_snapshot_is_what_a_run_of_that_length_and_schedule_has_learned(
    train: Train, photos: Path, tmp_path: Path
) -> None:
    """The state of the run itself, its norms measured afresh: all but those statistics equal the checkpoint's."""
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(3, signal.SIGINT, patch)
        with pytest.raises(KeyboardInterrupt):
            train(photos, tmp_path / "m", settings={"snapshots": 1})
    from safetensors import safe_open

    with safe_open(tmp_path / "m" / "train" / "checkpoint.safetensors", framework="pt") as file:
        names = [name for name in file.keys() if name.startswith("network.")]  # noqa: SIM118 (not a dict)
        state = {name.removeprefix("network."): file.get_tensor(name) for name in names}
    (snapshot,) = snapshots.found(tmp_path / "m" / "train")
    written = snapshot.weights()
    assert written.keys() == state.keys() and snapshot.step == 4
    learned = [name for name in state if "running_" not in name and "num_batches" not in name]
    assert learned and all(written[name].equal(state[name]) for name in learned)


def test_label_free_takes_the_state_that_knows_held_out_pictures_best(
    train: Train, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # untrained, three snapshots, the end, what is written
    scripted(monkeypatch, [9.0, 5.0, 3.0, 6.0, 4.0, 3.0])
    settings = {"snapshots": 3, "selection": "label-free"}
    folder = train(photos, tmp_path / "m", settings=settings).folder
    second = snapshots.found(folder / "train")[1]
    written, chosen = (load_file(each / "model.safetensors") for each in (folder, second.folder))
    assert all(written[name].equal(chosen[name]) for name in chosen)
    assert facts(folder)["selection"] == "label-free"
    assert facts(folder)["trained"]["selected_step"] == 4 and facts(folder)["trained"]["steps"] == 8
    assert "whose codes know held-out pictures best, after 4 steps" in (folder / "README.md").read_text()


def test_label_free_keeps_the_end_when_nothing_beats_it_and_clears_up(
    train: Train, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(photos, tmp_path / "plain").folder
    scripted(
        monkeypatch, [9.0] + [4.0] * 7 + [4.0, 4.0]
    )  # seven steps lie before the end: seven snapshots of nine
    folder = train(photos, tmp_path / "m", settings={"selection": "label-free"}).folder
    assert weights(folder) == weights(plain)
    assert facts(folder)["trained"]["selected_step"] == 8
    assert not (folder / "train" / snapshots.NAME).exists(), "nobody asked for them"


def test_resumed_a_run_keeps_its_snapshots_and_makes_the_rest(
    train: Train, photos: Path, tmp_path: Path
) -> None:
    whole = train(photos, tmp_path / "whole", settings={"snapshots": 3}).folder
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(4, signal.SIGINT, patch)
        with pytest.raises(KeyboardInterrupt):
            train(photos, tmp_path / "m", settings={"snapshots": 3})
    assert len(snapshots.found(tmp_path / "m" / "train")) == 2
    sightbook.train(photos, tmp_path / "m", resume=True, jobs=1)
    for one, other in zip(
        snapshots.found(whole / "train"), snapshots.found(tmp_path / "m" / "train"), strict=True
    ):
        assert one.step == other.step and weights(one.folder) == weights(other.folder)


def test_the_held_out_loss_is_told_and_is_the_same_for_the_same_weights(
    train: Train, photos: Path, tmp_path: Path
) -> None:
    first, again = (facts(train(photos, tmp_path / name, epochs=15).folder)["verdict"] for name in ("a", "b"))
    assert first == again
    assert 0 < first["trained"]["loss"] < first["untrained"]["loss"]


def test_without_a_loss_the_share_of_pictures_found_again_decides() -> None:
    assert ViewFigures(0.5, 1.0, 16.0).worth > ViewFigures(0.4, 1.0, 16.0).worth
    assert ViewFigures(0.4, 1.0, 16.0, loss=2.0).worth > ViewFigures(0.5, 1.0, 16.0, loss=2.1).worth
    # A loss that was no number is told as none: such a state is the worst of its run, however large a loss may be.
    assert ViewFigures(0.1, 1.0, 16.0, loss=7.0).worth > ViewFigures(0.9, 1.0, 16.0).worth


def test_choosing_needs_something_to_choose_from() -> None:
    with pytest.raises(ConfigError, match="chooses among snapshots: give at least one"):
        config_of(selection="label-free", snapshots=0)


def test_a_damaged_snapshot_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots" / "0500"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"0500 cannot be read .*delete that folder"):
        snapshots.found(tmp_path)
