"""What pictures tell about themselves; what is damaged or odd tells nothing and costs no picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from sightbook.images.pixels.about import About
from sightbook.images.pixels.decode import decode_image
from tests.images.pictures import encoded, gradient

RGB = gradient(40, 30)

HERE = {1: "S", 2: (33.0, 51.0, 30.0), 3: "E", 4: (151.0, 12.0, 36.0)}
TOLD = About(40, 30, None, "2024-05-31T12:30:00", "Canon EOS R5", None, -33.858333333333334, 151.21)


def exif(
    main: dict[int, Any] | None = None,
    settings: dict[int, Any] | None = None,
    gps: dict[int, Any] | None = None,
) -> Image.Exif:
    made = Image.Exif()
    for tag, value in (main or {}).items():
        made[tag] = value
    for tag, values in ((0x8769, settings), (0x8825, gps)):
        if values:
            made.get_ifd(tag).update(values)
            made[tag] = 0  # there is one; where it lies is decided when it is written
    return made


WHOLE = exif({0x010F: "Canon", 0x0110: "Canon EOS R5"}, {0x9003: "2024:05:31 12:30:00"}, HERE)


def about(made: Image.Exif, format: str = "JPEG") -> About:
    return decode_image(encoded(RGB, format, exif=made.tobytes()))[1]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_a_picture_tells_what_its_exif_holds(format: str) -> None:
    found = decode_image(encoded(RGB, format, exif=WHOLE))[1]
    assert found == TOLD._replace(format=format.lower(), latitude=found.latitude, longitude=found.longitude)
    assert found.latitude == pytest.approx(TOLD.latitude) and found.longitude == pytest.approx(TOLD.longitude)


def test_heic_tells_too() -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra 'heif' is not installed")
    file = heif.from_bytes("RGB", (40, 30), RGB.tobytes())
    file[0].info["exif"] = WHOLE.tobytes()
    stream = io.BytesIO()
    file.save(stream)
    found = decode_image(stream.getvalue())[1]
    assert (found.format, found.camera, found.taken) == ("heif", "Canon EOS R5", "2024-05-31T12:30:00")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_one_without_exif_tells_its_size_and_format_only(format: str) -> None:
    assert decode_image(encoded(RGB, format))[1] == About(40, 30, format.lower())


def test_a_turned_picture_tells_its_upright_size_and_how_it_is_stored() -> None:
    assert about(exif({0x0112: 6})) == About(30, 40, "jpeg", orientation=6)


def test_the_time_is_the_shutters_not_the_last_editors() -> None:
    edited, scanned = {0x0132: "2025:01:01 00:00:00"}, {0x9004: "2001:02:03 04:05:06"}
    assert about(exif(edited)).taken is None
    assert about(exif(edited, scanned)).taken == "2001-02-03T04:05:06"


@pytest.mark.parametrize(
    "said", ["0000:00:00 00:00:00", "2024:13:41 12:30:00", "    :  :     :  :  ", "yesterday", "", "\0" * 20]
)
def test_no_time_is_none(said: str) -> None:
    assert about(exif({}, {0x9003: said})).taken is None


@pytest.mark.parametrize(
    ("maker", "model", "camera"),
    [
        ("Apple", "iPhone 15", "Apple iPhone 15"),
        ("NIKON", "Nikon D850", "Nikon D850"),
        ("Sony\0\0rubbish", "A7\nIV\x07", "Sony A7 IV"),
        ("", "", None),
        ("x" * 500, "y", "x" * 64),
    ],
)
def test_a_cameras_name_is_one_clean_short_line(maker: str, model: str, camera: str | None) -> None:
    assert about(exif({0x010F: maker, 0x0110: model})).camera == camera


@pytest.mark.parametrize(
    "gps",
    [
        {},
        {2: (1.0, 2.0, 3.0), 4: (1.0, 2.0, 3.0)},
        {**HERE, 1: "X"},
        {**HERE, 2: (91.0, 0.0, 0.0)},
        {**HERE, 4: (1.0, 2.0)},
        {**HERE, 2: (IFDRational(0, 0), IFDRational(0, 0), IFDRational(0, 0))},
    ],
)
def test_no_place_is_none(gps: dict[int, Any]) -> None:
    found = about(exif({}, {}, gps))
    assert (found.latitude, found.longitude) == (None, None)


@pytest.mark.parametrize("cut", [10, 20, 40, 60, 100, 150])
@pytest.mark.parametrize("damage", [lambda data: data, lambda data: data.replace(b"\0", b"\xff")])
def test_damaged_exif_costs_no_picture(cut: int, damage: Callable[[bytes], bytes]) -> None:
    image, found = decode_image(encoded(RGB, "JPEG", exif=damage(WHOLE.tobytes()[:cut])))
    assert sorted(image.size) == [30, 40] and found.format == "jpeg"
