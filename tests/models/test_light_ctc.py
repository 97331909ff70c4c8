"""The light CTC recognizer: the published graph's numbers, any width, padding that changes nothing,
its ONNX graph.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from golden_numbers import images, recorded_arrays, weight

from strhub import Recognizer, load
from strhub.checkpoint.formats import CheckpointError
from strhub.checkpoint.ppocr import Published, choose_characters, read_published
from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.export import export
from strhub.images.padding import pad
from strhub.models.layers.light_conv import LightConvEncoder
from strhub.models.light_ctc.model import LightCTC, padded_width
from strhub.weights import EMBEDDED_MODELS, embedded_graph, embedded_weights


def network() -> LightCTC:
    torch.manual_seed(0)
    return LightCTC(charset_size=5, max_label_length=20, img_size=[48, 800]).eval()


def test_the_encoder_gives_the_published_graphs_tokens() -> None:
    encoder = LightConvEncoder().eval()
    state = {
        name: weight(f"encoder.{name}", tuple(tensor.shape))
        for name, tensor in encoder.state_dict().items()
    }
    encoder.load_state_dict(state)
    with torch.inference_mode():
        tokens = encoder(images(2, 48, 192))
    expected = recorded_arrays("ppocrv6-small.npz")["tokens"]
    np.testing.assert_allclose(tokens[:, ::3].numpy(), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("width", "padded"), [(4, 160), (160, 160), (164, 192), (192, 192), (1600, 1600)]
)
def test_narrow_images_are_padded(width: int, padded: int) -> None:
    assert padded_width(width) == padded


def test_an_image_is_read_the_same_whatever_else_is_in_its_batch() -> None:
    model = network()
    alone = [
        image[..., :width] for image, width in zip(images(3, 48, 240), (60, 240, 168), strict=True)
    ]
    with torch.inference_mode():
        together = model(pad(alone))
        for image, logits in zip(alone, together, strict=True):
            read = model(image[None])[0]
            torch.testing.assert_close(logits[: len(read)], read, rtol=1e-5, atol=1e-5)
            assert (logits[len(read) :].argmax(-1) == 0).all(), "beyond an image there is nothing"


def test_other_heights_are_refused() -> None:
    with pytest.raises(ValueError, match="the height must be 48"):
        LightCTC(charset_size=5, max_label_length=20, img_size=[32, 800])
    with pytest.raises(ValueError, match=r"images of shape \(B, 3, 48, W\)"):
        network()(torch.zeros(1, 3, 32, 160))


@pytest.mark.parametrize("opset", [17, 20])
def test_the_graph_reads_the_same(opset: int, tmp_path: Path) -> None:
    hparams = {
        "name": "light",
        "architecture": "light_ctc",
        "charset_train": "abcde",
        "charset_test": None,
        "img_size": [48, 800],
        "keep_aspect": True,
        "max_label_length": 20,
        "normalize": "default",
    }
    torch.manual_seed(0)
    model = SceneTextModel(hparams).eval()
    export(model, tmp_path / "light.onnx", opset=opset)
    session = onnxruntime.InferenceSession(tmp_path / "light.onnx")
    for count, width in ((1, 40), (3, 212)):
        inputs = images(count, 48, width)
        with torch.inference_mode():
            expected = model(inputs).numpy()
        found = session.run(None, {"images": inputs.numpy()})[0]
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_embedded_graph_reads_as_the_embedded_weights_do() -> None:
    model = load(embedded_weights("strhub-small")).eval()
    session = onnxruntime.InferenceSession(embedded_graph("strhub-small"))
    inputs = images(2, 48, 100)
    with torch.inference_mode():
        expected = model(inputs).numpy()
    np.testing.assert_allclose(
        session.run(None, {"images": inputs.numpy()})[0], expected, atol=1e-3
    )
    assert (
        embedded_weights("strhub-small").stat().st_size
        + embedded_graph("strhub-small").stat().st_size
        < 8 << 20
    )


@pytest.mark.parametrize("name", EMBEDDED_MODELS)
def test_the_word_prior_can_be_switched_off(name: str) -> None:
    assert Recognizer(name).engine.word_prior == 3  # type: ignore[attr-defined]
    assert Recognizer(name, word_prior=0).engine.word_prior == 0  # type: ignore[attr-defined]
    assert Recognizer(load(name), word_prior=0, device="cpu").model.model.word_prior == 0
    with pytest.raises(ValueError, match="an integer of at least 0"):
        Recognizer(name, word_prior=-1)


def test_characters_are_chosen_from_the_published_ones() -> None:
    published = Published(
        {"a": torch.zeros(1)}, torch.arange(4.0)[:, None], torch.arange(4.0), "xyz"
    )
    weights = choose_characters(published, "zx")
    assert weights["head.bias"].tolist() == [0, 3, 1]
    assert weights["head.weight"].flatten().tolist() == [0, 3, 1]
    with pytest.raises(ValueError, match="cannot read q"):
        choose_characters(published, "xq")


def test_another_file_is_not_the_published_recognizer(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"no graph")
    with pytest.raises(CheckpointError):
        read_published(tmp_path / "no.onnx")
    with pytest.raises(CheckpointError, match="no characters"):
        read_published(embedded_graph("strhub-tiny"))
