"""Words cropped out of images whose every pixel is known."""

import io
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from strhub.images.crops import (
    UnusablePolygon,
    box_polygon,
    crop_word,
    encode_crop,
    from_top_left,
    open_scene,
    rotated_box_polygon,
    turn_if_vertical,
)
from strhub.images.open import UnreadableImage

RED, GREEN, BLUE, YELLOW = (200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)
Map = Callable[[float, float], tuple[float, float]]


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def painted(size: tuple[int, int], mapping: Map) -> Image.Image:
    """Four colored quarters of a word, red and green above blue and yellow, wherever `mapping` puts
    its unit square.
    """
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    steps = np.linspace(0, 1, 41)
    for color, left, top in ((RED, 0, 0), (GREEN, 20, 0), (BLUE, 0, 20), (YELLOW, 20, 20)):
        u, v = steps[left : left + 21], steps[top : top + 21]
        outline = [mapping(x, v[0]) for x in u] + [mapping(x, v[-1]) for x in u[::-1]]
        draw.polygon(outline, fill=color)
    return image


def quarters(crop: Image.Image) -> list[tuple[int, ...]]:
    width, height = crop.size
    points = [(x * width // 4, y * height // 4) for y in (1, 3) for x in (1, 3)]
    return [crop.getpixel(mapping) for mapping in points]  # type: ignore[misc]


def on_quadrilateral(corners: list[tuple[float, float]]) -> Map:
    """The perspective that takes the unit square to four corners, by solving for all eight
    unknowns.
    """
    rows, values = [], []
    for (u, v), (x, y) in zip([(0, 0), (1, 0), (1, 1), (0, 1)], corners, strict=True):
        rows += [[u, v, 1, 0, 0, 0, -u * x, -v * x], [0, 0, 0, u, v, 1, -u * y, -v * y]]
        values += [x, y]
    a, b, c, d, e, f, g, h = np.linalg.solve(rows, values)
    return lambda u, v: (
        (a * u + b * v + c) / (g * u + h * v + 1),
        (d * u + e * v + f) / (g * u + h * v + 1),
    )


def on_arc(center: float, inner: float, outer: float) -> Map:
    """A band over a center, read from the left to the right."""

    def mapping(u: float, v: float) -> tuple[float, float]:
        angle, radius = math.pi * (1 - 0.2 - 0.6 * u), outer - (outer - inner) * v
        return center + radius * math.cos(angle), center - radius * math.sin(angle)

    return mapping


def outline(mapping: Map, points: int) -> list[tuple[float, float]]:
    marks = np.linspace(0, 1, points)
    return [mapping(u, 0) for u in marks] + [mapping(u, 1) for u in marks[::-1]]


@pytest.mark.parametrize("rectified", [False, True])
def test_box_of_whole_pixels_is_those_pixels(rectified: bool) -> None:
    image = noise(60, 40)
    crop = crop_word(image, box_polygon(10, 5, 50, 25), rectified=rectified)
    assert np.array_equal(np.asarray(crop), np.asarray(image)[5:25, 10:50])


def test_box_takes_in_pixels_that_are_touched() -> None:
    assert crop_word(noise(60, 40), box_polygon(10.2, 5.9, 49.1, 24.5)).size == (40, 20)


@pytest.mark.parametrize("angle", [0, 20, -35, 90, 180, 260])
def test_rotated_box_comes_out_upright(angle: float) -> None:
    polygon = rotated_box_polygon(100, 100, 80, 40, angle)
    crop = crop_word(painted((200, 200), on_quadrilateral(list(polygon))), polygon, rectified=True)
    assert crop.size == (80, 40)
    assert quarters(crop) == [RED, GREEN, BLUE, YELLOW]


def test_rotation_is_clockwise() -> None:
    polygon = rotated_box_polygon(0, 0, 2, 2, 90)
    assert np.allclose(polygon, [(1, -1), (1, 1), (-1, 1), (-1, -1)])


def test_perspective_is_undone() -> None:
    corners = [(20.0, 60.0), (170.0, 10.0), (180.0, 190.0), (30.0, 100.0)]
    mapping = on_quadrilateral(corners)
    crop = crop_word(painted((200, 200), mapping), corners, rectified=True)
    pixels = np.asarray(crop).astype(int)
    # In perspective, the middle of the word isn't the middle of its outline; straightened, it is
    # again.
    change = np.abs(np.diff(pixels[crop.height // 4, :, 0])).argmax()
    assert abs(change - crop.width / 2) <= 2
    assert quarters(crop) == [RED, GREEN, BLUE, YELLOW]


@pytest.mark.parametrize("points", [5, 6, 9])
def test_curved_text_is_straightened(points: int) -> None:
    mapping = on_arc(150, 80, 130)
    crop = crop_word(painted((300, 200), mapping), outline(mapping, points), rectified=True)
    assert quarters(crop) == [RED, GREEN, BLUE, YELLOW]
    arc = 0.6 * math.pi * 105
    assert 0.8 * arc < crop.width < 1.1 * arc
    assert abs(crop.height - 50) <= 8


def test_opposite_sense_gives_the_same_crop() -> None:
    mapping = on_arc(150, 80, 130)
    image = painted((300, 200), mapping)
    polygon = outline(mapping, 4)
    turned = [polygon[0], *polygon[:0:-1]]
    assert crop_word(image, turned, rectified=True) == crop_word(image, polygon, rectified=True)


def test_polygon_from_its_top_left_point() -> None:
    polygon = [(30.0, 30.0), (10.0, 30.0), (10.0, 10.0), (30.0, 10.0)]
    assert from_top_left(polygon) == [(10.0, 10.0), (30.0, 10.0), (30.0, 30.0), (10.0, 30.0)]


def test_edges_that_cross_or_do_not_pair_give_the_box() -> None:
    image = noise(60, 40)
    crossed = [(10, 5), (50, 5), (10, 25), (50, 25)]
    five = [(10, 5), (50, 5), (50, 15), (40, 25), (10, 25)]
    for polygon in (crossed, five):
        assert crop_word(image, polygon, rectified=True) == image.crop((10, 5, 50, 25))


def test_box_ends_at_the_edge_and_straightened_word_repeats_it() -> None:
    image = noise(60, 40)
    polygon = box_polygon(-10, -5, 20, 15)
    assert crop_word(image, polygon) == image.crop((0, 0, 20, 15))
    straight = np.asarray(crop_word(image, polygon, rectified=True))
    assert straight.shape == (20, 30, 3)
    assert np.array_equal(straight[5:, 10:], np.asarray(image)[:15, :20])
    assert (straight[5:, :10] == straight[5:, 10:11]).all()
    assert (straight[:5] == straight[5:6]).all()


@pytest.mark.parametrize("rectified", [False, True])
def test_margin_is_in_heights_of_the_word(rectified: bool) -> None:
    image = noise(100, 80)
    crop = crop_word(image, box_polygon(30, 30, 70, 50), rectified=rectified, margin=0.25)
    assert crop == image.crop((25, 25, 75, 55))


def test_margin_of_a_curved_text_goes_straight_on() -> None:
    mapping = on_arc(150, 80, 130)
    polygon, image = outline(mapping, 9), painted((300, 200), mapping)
    plain, wide = (crop_word(image, polygon, rectified=True, margin=margin) for margin in (0, 0.2))
    extra = round(0.2 * plain.height)
    assert wide.size == (plain.width + 2 * extra, plain.height + 2 * extra)
    inner = np.asarray(wide).astype(int)[extra:-extra, extra:-extra]
    assert np.abs(inner - np.asarray(plain)).mean() < 1
    assert wide.getpixel((1, wide.height // 2)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        ([(1, 1), (9, 9)], "at least three points"),
        ([(1, 1), (9, 9), (20, 20), (30, 30)], "no area"),
        ([(5, 5)] * 4, "no area"),
        (box_polygon(10, 10, 50, 10.2), "no area"),
        (box_polygon(-30, 5, -2, 20), "outside"),
        (box_polygon(60, 5, 80, 20), "outside"),
        (box_polygon(59.5, 5, 80, 20), "less than a pixel"),
        (box_polygon(10, 5, 5000, 20), "far outside"),
        ([(1, 1), (9, 1), (9, math.nan)], "coordinates that are not numbers"),
    ],
)
def test_unusable_polygons(polygon: list[tuple[float, float]], message: str) -> None:
    with pytest.raises(UnusablePolygon, match=message):
        crop_word(noise(60, 40), polygon)


POINT = st.tuples(st.floats(-30, 90), st.floats(-30, 70))


@settings(max_examples=150, deadline=None)
@given(st.lists(POINT, min_size=3, max_size=10), st.booleans(), st.sampled_from([0, 0.5]))
def test_any_polygon_is_cropped_or_unusable(
    polygon: list[tuple[float, float]], rectified: bool, margin: float
) -> None:
    try:
        crop = crop_word(noise(60, 40), polygon, rectified=rectified, margin=margin)
    except UnusablePolygon:
        return
    assert crop.mode == "RGB"
    assert min(crop.size) >= 1


def test_vertical_text_is_turned_to_the_left() -> None:
    tall = Image.new("RGB", (10, 30), BLUE)
    tall.paste(RED, (0, 0, 10, 15))
    turned = turn_if_vertical(tall, "ab")
    assert turned.size == (30, 10)
    assert turned.getpixel((2, 5)) == RED
    assert turn_if_vertical(tall, "a") is tall
    assert turn_if_vertical(tall.crop((0, 0, 10, 15)), "ab").size == (10, 15)


def test_encoding_keeps_lossless_images_as_they_are() -> None:
    crop = noise(30, 20)
    decoded, lossless = open_scene(encode_crop(crop, lossless=True))
    assert lossless
    assert np.array_equal(np.asarray(decoded), np.asarray(crop))
    flat = Image.new("RGB", (30, 20), RED)
    decoded, lossless = open_scene(encode_crop(flat, lossless=False))
    assert not lossless
    assert np.abs(np.asarray(decoded).astype(int) - RED).max() <= 3


def test_orientation_tag_is_followed_only_if_asked() -> None:
    image = Image.new("RGB", (40, 20), RED)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif)
    assert open_scene(file.getvalue())[0].size == (40, 20)
    assert open_scene(file.getvalue(), follow_exif=True)[0].size == (20, 40)


@pytest.mark.parametrize(
    "content", [b"", b"no picture", encode_crop(noise(30, 20), lossless=True)[:-200]]
)
def test_unreadable_scenes(content: bytes) -> None:
    with pytest.raises(UnreadableImage):
        open_scene(content)
