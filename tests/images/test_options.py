"""What a model takes of an image is told by its hyper-parameters, and everything beside a model
follows them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import Training, tiny_system

from strhub import Recognizer, load, save
from strhub.benchmark.subjects import Settings, subjects
from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.cli.test import run
from strhub.data.loading.aspect import AspectTransform
from strhub.data.module import SceneTextDataModule
from strhub.export.calibration import _batches
from strhub.images.options import image_options, image_to_array
from strhub.training.adopting import adopt_pretrained
from strhub.training.run import data_from_config, model_from_config

SVTR = (
    "model=svtr",
    "model.embed_dims=[16,32,64]",
    "model.depths=[1,1,1]",
    "model.num_heads=[1,1,2]",
    "model.local_depth=2",
    "model.mlp_ratio=2",
    "model.img_size=[32,256]",
    "model.max_label_length=12",
    "model.batch_size=4",
)


def svtr(path: Path) -> Path:
    save(tiny_system(Training("svtr-tiny"), img_size=[32, 256]), path)
    return path


def test_options_of_hyper_parameters() -> None:
    whole = {"img_size": [32, 256], "keep_aspect": True, "normalize": "clip", "other": 1}
    assert image_options(whole) == {"img_size": (32, 256), "keep_aspect": True, "normalize": "clip"}
    assert image_options({"img_size": (4, 8)}) == {
        "img_size": (4, 8),
        "keep_aspect": False,
        "normalize": "default",
    }
    with pytest.raises(KeyError):
        image_options({})


@pytest.mark.parametrize("keep_aspect", [False, True])
def test_transforms_and_arrays_are_made_alike(keep_aspect: bool) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 90, 3), dtype=np.uint8))
    options = image_options(
        {"img_size": [16, 128], "keep_aspect": keep_aspect, "normalize": "clip"}
    )
    array = image_to_array(image, options)
    assert array.shape == (3, 16, 72 if keep_aspect else 128)
    transform = SceneTextDataModule.get_transform(**options)
    torch.testing.assert_close(transform(image), torch.from_numpy(array))


@pytest.mark.parametrize("more", [(), ("+data.keep_aspect=true",)])
def test_a_model_without_its_experiment_gets_data_of_its_own_kind(
    compose_main: Any, word_tree: Path, more: tuple[str, ...]
) -> None:
    config = compose_main(f"data.root_dir={word_tree}", *more, small=SVTR)
    data = data_from_config(config, model_from_config(config).hparams)
    assert data.keep_aspect is True
    assert isinstance(data.val_dataset.transform, AspectTransform)
    squeezed = compose_main(f"data.root_dir={word_tree}", "model.keep_aspect=false", small=SVTR)
    assert data_from_config(squeezed, model_from_config(squeezed).hparams).keep_aspect is False


def test_data_that_contradict_the_model_are_refused(compose_main: Any) -> None:
    config = compose_main("+data.keep_aspect=true")
    with pytest.raises(
        ValueError, match=r"data\.keep_aspect is True, but 'parseq' as it is configured takes False"
    ):
        data_from_config(config, model_from_config(config).hparams)


def test_fine_tuning_takes_over_how_images_are_made(compose_main: Any, tmp_path: Path) -> None:
    overrides = [f"pretrained={svtr(tmp_path / 'm.safetensors')}"]
    config = compose_main(*overrides, small=())
    adopt_pretrained(config, overrides)
    data = data_from_config(config, model_from_config(config).hparams)
    assert (data.keep_aspect, list(data.img_size)) == (True, [32, 256])


def test_scores_are_of_images_as_they_are_read(
    tmp_path: Path, word_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths: dict[str, set[int]] = {"test": set(), "read": set(), "bench": set()}
    now, read = "test", SceneTextModel.forward

    def recorded(model: SceneTextModel, images: torch.Tensor, *args: Any) -> torch.Tensor:
        widths[now].update((~images[:, 0, 0].isnan()).sum(-1).tolist())
        return read(model, images, *args)

    monkeypatch.setattr(SceneTextModel, "forward", recorded)
    path = svtr(tmp_path / "m.safetensors")
    table = run(
        [
            str(path),
            "--data_root",
            str(word_tree),
            "--num_workers",
            "0",
            "--device",
            "cpu",
            "--sets",
            "SVT",
        ]
    )
    assert "| SVT" in table
    now = "read"
    words = SceneTextDataModule(
        root_dir=word_tree,
        train_dir="",
        img_size=[32, 256],
        max_label_length=8,
        charset_train="a",
        batch_size=4,
    ).test_dataset("SVT", as_stored=True)
    Recognizer(str(path), device="cpu", turn_tall=False, reread_below=0)(
        [words.sources[0].read(index)[0] for index in range(4)]
    )
    now = "bench"
    settings = Settings(
        torch.device("cpu"), batch_sizes=(4,), images=str(word_tree / "test" / "SVT")
    )
    next(subjects("m", load(path).eval(), settings)).read()
    assert widths["test"] == widths["read"] == widths["bench"] != {256}


def test_images_that_8_bits_are_calibrated_on_go_together_by_width() -> None:
    arrays = [np.zeros((3, 32, width), dtype=np.float32) for width in (32, 64, 32, 32)]
    assert sorted(batch.shape for batch in _batches(arrays)) == [(1, 3, 32, 64), (3, 3, 32, 32)]
