"""Progress as plain lines and as bars."""

from __future__ import annotations

import io

import pytest

from sightbook.cli import show
from sightbook.progress import Notice, Progress


def event(done: int, *, finished: bool = False, stage: str = "train", **figures: float) -> Progress:
    return Progress(stage, done, 50_000, "pictures", 812.4, 0.0 if finished else 46.2, figures, finished)


def test_one_line_tells_count_rate_time_left_and_figures() -> None:
    text = show.describe(event(12_800, loss=2.3125, used=0.93, best_loss=2.25))
    assert (
        text
        == "12,800/50,000 pictures, 812/s, 0:46 left, loss 2.31, 93% of the codewords used, best loss 2.25"
    )


def test_a_finished_stage_says_done_and_a_slow_one_its_fraction() -> None:
    assert show.describe(event(50_000, finished=True)) == "50,000/50,000 pictures, 812/s, done"
    slow = Progress("encode", 3, None, "pictures", 0.25, None)
    assert show.describe(slow) == "3 pictures, 0.2/s"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (46.4, "0:46"), (723, "12:03"), (3723, "1:02:03"), (-1, "0:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert show.duration(seconds) == text


def test_lines_come_at_most_every_five_seconds_and_always_at_the_end() -> None:
    written: list[str] = []
    now = 0.0
    listen = show.lines(written.append, lambda: now)
    for step in range(61):  # twelve seconds, five events a second
        now = step / 5
        listen(event(step))
    assert [line.split("/")[0] for line in written] == ["train: 25", "train: 50"]
    listen(event(60, finished=True))
    assert written[-1] == "train: 60/50,000 pictures, 812/s, done"


def test_notices_come_at_once_and_stages_are_counted_apart() -> None:
    written: list[str] = []
    listen = show.lines(written.append, lambda: 0.0)
    listen(Notice("one picture was skipped"))
    listen(event(1, stage="decode"))
    listen(event(2, stage="encode", finished=True))
    assert written == ["one picture was skipped", "encode: 2/50,000 pictures, 812/s, done"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_on_standard_error_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    with show.showing() as listen:
        listen(event(25_000, loss=1.5))
        listen(Notice("a [bracket] stays as it is"))
        listen(event(50_000, finished=True))
    text = terminal.getvalue()
    assert "train" in text and "50,000/50,000 pictures" in text and "━" in text
    assert "a [bracket] stays as it is" in text
    assert capsys.readouterr().out == ""


def test_the_bar_of_a_stage_with_a_time_budget_follows_the_clock() -> None:
    budget = Progress("train", 900, None, "pictures", 30.0, 30.0)
    assert show.fraction(budget, 10.0) == (10.0, 40.0)
    assert show.fraction(event(10), 3.0) == (10, 50_000)
    assert show.fraction(Progress("scan", 5, None, "files", None, None), 3.0) == (0, None)
