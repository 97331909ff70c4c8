"""A recognizer for RapidOCR: by a stand-in that prepares and decodes as it does, and by itself
where it is installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

pytest.importorskip("onnx", reason="exporting is an extra: pip install strhub[export]")

from strhub import Recognizer, create_model, load
from strhub.cli import export as command
from strhub.errors import ConfigError
from strhub.export import export
from strhub.export.rapidocr import CHARACTERS_KEY
from strhub.utils.telemetry import import_onnxruntime

ROOT = Path(__file__).resolve().parents[2]
IMAGES = sorted((ROOT / "demo_images").glob("*"))
PHOTO = ROOT / "docs" / "figures" / "street.jpg"


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rapid") / "rec.onnx"
    line = command.run(["strhub-small", str(path), "--layout", "rapidocr"])
    assert line.endswith("as rapidocr takes it")
    return path


@pytest.fixture(scope="module")
def own() -> list[str]:
    """Texts of strhub-small as the file has it: one look, no preference for known words."""
    reader = Recognizer("strhub-small", reread_below=0, word_prior=0, turn_tall=False)
    return [reading.text for reading in reader(IMAGES)]


class StandIn:
    """What RapidOCR does with a recognizer's file, of one image at a time."""

    def __init__(self, path: Path) -> None:
        self.session = import_onnxruntime().InferenceSession(str(path))
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.characters = ["blank", *metadata[CHARACTERS_KEY].splitlines(), " "]

    def __call__(self, image: Image.Image) -> tuple[str, float]:
        bgr = np.asarray(image.convert("RGB"))[:, :, ::-1]
        height, width = bgr.shape[:2]
        widest = max(320, int(48 * max(320 / 48, width / height)))
        resized = min(widest, int(np.ceil(48 * width / height)))
        small = Image.fromarray(bgr).resize((resized, 48), Image.Resampling.BILINEAR)
        batch = np.zeros((1, 3, 48, widest), np.float32)
        batch[0, :, :, :resized] = np.asarray(small, np.float32).transpose(2, 0, 1) / 127.5 - 1
        (named,) = self.session.get_inputs()
        (found,) = self.session.run(None, {named.name: batch})[0]
        return self.decoded(found)

    def decoded(self, found: npt.NDArray[np.float32]) -> tuple[str, float]:
        assert np.allclose(found.sum(-1), 1, atol=1e-5), "probabilities"
        classes = found.argmax(-1)
        kept = (classes != 0) & (classes != np.concatenate([[-1], classes[:-1]]))
        text = "".join(self.characters[index] for index in classes[kept])
        return text, float(found.max(-1)[kept].mean())


def test_what_rapidocr_makes_of_it_is_what_we_read(graph: Path, own: list[str]) -> None:
    reader = StandIn(graph)
    found = [reader(Image.open(path)) for path in IMAGES]
    assert [text for text, _ in found] == own
    assert all(confidence > 0.5 for _, confidence in found)


def test_a_space_in_the_midst_of_a_charset_goes_to_the_end(tmp_path: Path) -> None:
    model = load("strhub-small")
    whole = list(model.hparams["charset_train"])
    index = whole.index(" ")
    other = create_model("strhub-small", charset_train="ab cd", charset_test="ab cd").eval()
    kept = [0, *(1 + whole.index(character) for character in "ab cd")]
    assert index != 2
    weights = model.model.state_dict()
    for name in ("head.weight", "head.bias"):
        weights[name] = weights[name][kept]
    other.model.load_state_dict(weights)
    export(other, tmp_path / "few.onnx", layout="rapidocr")
    reader = StandIn(tmp_path / "few.onnx")
    assert reader.characters == ["blank", "a", "b", "c", "d", " "]
    scores = reader.session.run(None, {"images": np.zeros((2, 3, 48, 320), np.float32)})[0]
    assert scores.shape[::2] == (2, 6)


@pytest.mark.parametrize(
    ("model", "options", "target", "message"),
    [
        ("parseq-tiny", {}, "words.onnx", "light_ctc, such as strhub-small"),
        ("crnn", {}, "words.onnx", "light_ctc, such as strhub-small"),
        ("strhub-small", {}, "words.pt2", "RapidOCR takes .onnx files"),
        ("strhub-small", {"normalize": "clip"}, "words.onnx", "normalize must be default"),
        ("strhub-small", {"charset_train": "a\u2028b"}, "words.onnx", "end a line"),
    ],
)
def test_what_it_cannot_take_is_refused(
    tmp_path: Path, model: str, options: dict[str, Any], target: str, message: str
) -> None:
    made = create_model(model, **options)
    with pytest.raises((ConfigError, ValueError), match=message):
        export(made, tmp_path / target, layout="rapidocr")
    assert not list(tmp_path.iterdir())


def test_an_unknown_layout() -> None:
    with pytest.raises(ValueError, match="there is no layout 'paddle'; known: strhub, rapidocr"):
        export(load("strhub-small"), "words.onnx", layout="paddle")
    with pytest.raises(ValueError, match=r"is for .onnx files"):
        command.run(["strhub-small", "words.safetensors", "--layout", "rapidocr"])


def test_rapidocr_itself_reads_with_it(graph: Path, own: list[str]) -> None:
    rapidocr = pytest.importorskip("rapidocr")
    reader = rapidocr.RapidOCR(params={"Rec.model_path": str(graph), "Global.log_level": "error"})
    found = [reader(str(path), use_det=False, use_cls=False).txts[0] for path in IMAGES]
    assert found == own
    photo = reader(str(PHOTO), use_det=True, use_cls=True, use_rec=True)
    lines = {text.replace(" ", "") for text in photo.txts}
    shown = {"KINGSTREET", "HarbourBooks", "CornerCafe", "BAKERY", "since1936", "OPEN", "Bus42"}
    assert shown <= lines
