"""Sample readings in the logs, and loggers by one word."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_run import QUICK

from strhub.evaluation.results.files import read_samples
from strhub.training.callbacks.sample_images import ReadingSamples, Sample, sheet, table, to_images
from strhub.training.run import train

RUN = (
    *(option for option in QUICK if not option.startswith("logger")),
    "data.render.words=16",
    "data.render.validation=11",
    "trainer.max_epochs=1",
    "callbacks.best=null",
    "callbacks.last=null",
    "averaging=none",
    "callbacks.samples.count=5",
)


def test_images_come_back_from_what_the_model_is_given() -> None:
    values = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16).repeat(3, 1)
    (canvas,) = to_images((values / 255 - 0.5) / 0.5, "default")
    assert np.abs(np.asarray(canvas).transpose(2, 0, 1) - values[0]).max() <= 1


def test_a_sheet_and_a_table() -> None:
    canvas = Image.new("RGB", (128, 32), "gray")
    page = sheet(
        [Sample(canvas, "word", "word", 0.9)] * 4 + [Sample(canvas, "слово", "слoво", 0.5)]
    )
    assert page.size == (800, 2 * 66)
    colors = np.asarray(page).astype(int)
    red = colors[..., 0] - colors[..., 1] > 100
    assert not red[:66].any()
    assert red[66:, :200].any()
    assert table([Sample(canvas, "a|b", "ab", 0.5)]).splitlines()[-1] == "| `a|b` | `ab` | 0.500 |"
    with pytest.raises(ValueError, match="count is 0"):
        ReadingSamples(count=0)


def test_tensorboard_has_images_and_readings(compose_main: Any, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(compose_main(*RUN, "logger=tensorboard", "callbacks.report.write=true"))
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    (image,) = events.Images("readings")
    assert (image.step, image.width) == (2, 800)
    text = events.Tensors("readings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert len(text.splitlines()) == 2 + 5
    assert (tmp_path / "run" / "metrics.csv").is_file()
    assert {scalar.value for scalar in events.Scalars("report/accuracy")}
    assert not [tag for tag in events.Tags()["scalars"] if "hp_metric" in tag]
    samples = list(read_samples(tmp_path / "run" / "report" / "samples.tsv"))
    assert len(samples) == 11
    assert all(sample.height for sample in samples)
    page = (tmp_path / "run" / "report" / "report.html").read_text()
    assert "data:image/webp" in page


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)  # theirs
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_by_one_word(
    compose_main: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if importlib.util.find_spec(name) is None:
        with pytest.raises(
            ValueError, match=f"logger={name} needs a package .* pip install {name}"
        ):
            train(compose_main(*RUN, f"logger={name}"))
        return
    monkeypatch.setenv("WANDB_SILENT", "true")
    train(
        compose_main(
            *RUN, f"logger={name}", *(["logger.wandb.offline=true"] if name == "wandb" else [])
        )
    )
    assert (tmp_path / "run" / "metrics.csv").is_file()
    written = [path.name for path in (tmp_path / "run").rglob("*")]
    assert (
        any(path.endswith(".wandb") for path in written)
        if name == "wandb"
        else "mlflow.db" in written
    )
