"""Where words lie: whole within their images, as high as asked for, bent and back again."""

from __future__ import annotations

import numpy as np
import pytest

from strhub.data.synth import layout
from strhub.data.synth.layout import Bow, Geometry, Line, Plane, make_plane, render_word
from strhub.data.synth.typefaces import BUNDLED_FONTS

FONT = str(BUNDLED_FONTS / "Roboto-Bold.ttf")


def laid_out(
    geometry: Geometry, *, height: float = 40.0, text: str = "Hamburg"
) -> tuple[Line, Plane]:
    line = render_word(text, FONT, 40, geometry, np.random.default_rng(0), neighbors="abc")
    return line, make_plane(line.box, 40, geometry, height=height, least_em=4)


GEOMETRIES = {
    "straight": {},
    "turned": {"turn": 0.3},
    "slanted": {"shear": 0.4, "stretch": 1.5},
    "rising": {"rise": -0.6, "stretch": 1.2},
    "tilted": {"tilt": (0.4, -0.2)},
    "bowed": {"arc": 0.6},
    "bowed down": {"arc": -0.6},
    "waved": {"wave": (0.15, 3.0, 1.0)},
    "all": {
        "arc": 0.4,
        "turn": -0.2,
        "tilt": (0.2, 0.1),
        "wave": (0.05, 2.0, 0.0),
        "spacing": 0.2,
        "bounce": 0.1,
    },
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_whole_word_is_in_the_image(name: str) -> None:
    _, plane = laid_out(Geometry(**GEOMETRIES[name]))  # type: ignore[arg-type]
    line, _ = laid_out(Geometry(**GEOMETRIES[name]))  # type: ignore[arg-type]
    cover = np.asarray(plane.place(line.word), dtype=np.float64)
    assert abs(cover.shape[0] - 40) <= 1
    border = np.concatenate([cover[0], cover[-1], cover[:, 0], cover[:, -1]])
    assert border.max() < 40, "the margins of 0.1 em stay empty"
    assert cover.sum() > 0.1 * 255 * cover.size / 2


def test_cut_takes_a_little_of_the_word() -> None:
    line, whole = laid_out(Geometry())
    _, cut = laid_out(Geometry(margins=[-0.1, 0.1, 0.1, 0.1]))
    assert cut.size[0] < whole.size[0]
    assert np.asarray(cut.place(line.word))[:, 0].max() > 200


def test_a_font_that_makes_a_text_huge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MAX_PIXELS", 100)
    with pytest.raises(ValueError, match=r"'Hamburg' would take \d+ x \d+ pixels"):
        laid_out(Geometry())


def test_small_letters_get_a_taller_image() -> None:
    geometry = Geometry(turn=0.4)
    line = render_word("Hamburg", FONT, 40, geometry, np.random.default_rng(0), neighbors="abc")
    low, high = (make_plane(line.box, 40, geometry, height=30, least_em=least) for least in (4, 15))
    assert 30 == low.size[1] < high.size[1] <= 48


def test_quarter_turn_stands_the_word_up() -> None:
    _, plane = laid_out(Geometry(quarter=1), height=100)
    assert plane.size[1] > 2 * plane.size[0]


def test_a_rising_line_keeps_letters_upright() -> None:
    """A point below another stays below it; one to the right is lower by half the way."""
    _, flat = laid_out(Geometry(), height=70)
    _, plane = laid_out(Geometry(rise=0.5), height=70)
    forward = np.linalg.inv(plane.backward)
    middle, below, right = (forward @ [100 + x, 50 + y, 1.0] for x, y in ((0, 0), (0, 10), (10, 0)))
    assert (below - middle)[0] == pytest.approx(0)
    assert (right - middle)[1] / (right - middle)[0] == pytest.approx(0.5)
    assert plane.size[1] / plane.size[0] > 1.5 * flat.size[1] / flat.size[0]


@pytest.mark.parametrize("radius", [0.0, 90.0, -90.0])
def test_bow_and_back(radius: float) -> None:
    bow = Bow((50.0, 20.0), radius, (4.0, 0.05, 0.3))
    points = np.stack([np.linspace(0, 100, 30), np.linspace(5, 35, 30)])
    assert np.allclose(bow.flatten(bow.bend(points)), points)
    middle = bow.bend(np.array([[50.0], [20.0]]))[1, 0]
    end = bow.bend(np.array([[100.0], [20.0]]))[1, 0]
    assert np.sign(end - middle) == np.sign(radius) or radius == 0


def test_neighbors_frames_and_panels_lie_beside_the_word() -> None:
    geometry = Geometry(sides=[True] * 4, frame=0.3, panel=0.4)
    line, plane = laid_out(geometry)
    assert line.others is not None
    assert line.panel is not None
    word, others = (np.asarray(plane.place(mask)) > 128 for mask in (line.word, line.others))
    assert others.any()
    assert not (word & others).any()
    assert (np.asarray(plane.place(line.panel))[word] > 200).all()


def test_lone_marks_keep_their_place() -> None:
    rows = []
    for text in ("'", "."):
        line, plane = laid_out(Geometry(), text=text)
        cover = np.asarray(plane.place(line.word), dtype=float)
        rows.append(float((cover.sum(axis=1) * np.linspace(0, 1, len(cover))).sum() / cover.sum()))
    assert rows[0] < 0.4 < 0.6 < rows[1]
