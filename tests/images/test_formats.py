"""Whether each format of pictures can be read here is found out on a picture of it."""

from __future__ import annotations

import pytest

from sightbook.images.pixels import formats


@pytest.mark.parametrize("name", formats.FORMATS)
def test_every_format_is_tried_on_a_real_picture(name: str) -> None:
    assert formats.readable(name) is None


def test_a_wrongly_decoded_picture_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "COLOUR", (10, 200, 10))
    reason = formats.readable("AVIF")  # its sample is a constant of the other colour
    assert reason is not None and reason.startswith("decodes wrongly: (16, 16, 3)")


def test_a_damaged_picture_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "sample", lambda name: b"no picture at all")
    assert formats.readable("PNG") == "it is not a picture of a known format"
