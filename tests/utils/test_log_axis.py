"""Ticks of a logarithmic axis that can be read."""

from pathlib import Path

import pytest

from strhub.utils.log_axis import log_x_axis, write_figure


@pytest.mark.parametrize(
    "values", [(0.00495, 0.0726), (1.0, 11.0), (1e-4, 0.9), (1e-6, 10.0), (2.0, 2.0)]
)
def test_labels_are_few_and_plain_numbers(values: tuple[float, float]) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(4, 3))
    axes = figure.subplots()
    axes.plot(values, [1, 2])
    log_x_axis(axes, values)
    figure.canvas.draw()
    low, high = axes.get_xlim()
    labels = [
        text.get_text()
        for text, at in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)
        if low <= at <= high and text.get_text()
    ]
    assert len(labels) <= 8
    assert all(float(label) > 0 for label in labels)
    assert not [text.get_text() for text in axes.get_xticklabels(minor=True) if text.get_text()]
    if values[0] < values[1]:
        assert len(labels) >= 2


def test_a_plot_that_fails_leaves_the_file_before_it(tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(1, 1))
    for name, magic in (("plot.png", b"\x89PNG"), ("plot.svg", b"<?xml"), ("plot", b"\x89PNG")):
        write_figure(figure, tmp_path / name, dpi=50)
        assert (tmp_path / name).read_bytes().startswith(magic)
    (tmp_path / "plot.unknown").write_text("before")
    with pytest.raises(ValueError, match="unknown"):
        write_figure(figure, tmp_path / "plot.unknown", dpi=50)
    assert (tmp_path / "plot.unknown").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 4
