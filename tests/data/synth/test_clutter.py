"""Images of things that are no text."""

import numpy as np
import pytest

from strhub.data.synth import RenderedWords
from strhub.data.synth.clutter import clutter


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 3), (64, 32), (200, 50)])
def test_any_size(size: tuple[int, int]) -> None:
    for seed in range(10):
        original = clutter(size, np.random.default_rng(seed))
        assert original.size == size
        assert original.mode == "RGB"


def test_the_generator_decides() -> None:
    originals = [np.asarray(clutter((60, 30), np.random.default_rng(seed))) for seed in (3, 3, 4)]
    assert np.array_equal(originals[0], originals[1])
    assert not np.array_equal(originals[0], originals[2])


def test_blanks_are_empty_grounds_and_clutter() -> None:
    """Most clutter has far more edges than the empty ground of a sign."""

    def edges(difficulty: float) -> list[float]:
        words = RenderedWords(
            charset="abc", max_length=6, seed=1, difficulty=difficulty, blanks=1.0
        )
        rendered = [words.render(index) for index in range(60)]
        assert all(text == "" for _, text in rendered)
        grays = [np.asarray(original.convert("L"), dtype=np.float32) for original, _ in rendered]
        return sorted(float(np.abs(np.diff(gray, axis=1)).mean()) for gray in grays)

    smooth_to_busy = edges(0.0)
    assert smooth_to_busy[10] < 2, "plain grounds"
    assert smooth_to_busy[-10] > 4, "and busy ones"
