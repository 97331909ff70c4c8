"""The reader without PyTorch: what it imports, what it takes, what it says of bad files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx", reason="exporting is an extra: pip install strhub[export]")
pytest.importorskip("onnxruntime", reason="exporting is an extra: pip install strhub[export]")

import onnx
from onnx import TensorProto, helper

from strhub import load
from strhub.export import export
from strhub.images.preprocess import kept_width
from strhub.inference.onnx_description import FORMAT, METADATA_KEY
from strhub.inference.onnx_engine import Recognizer
from strhub.utils.processes import PerProcess
from strhub.weights import embedded_graph, embedded_weights


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export(load("strhub-tiny", refine_iters=2), path, card={"licence": "Apache-2.0"})
    return path


def changed(source: Path, target: Path, **changes: Any) -> Path:
    """A copy whose description of itself is changed; None takes a key out."""
    model = onnx.load(source)
    description = {**json.loads(model.metadata_props[0].value), **changes}
    kept = {key: value for key, value in description.items() if value is not None}
    helper.set_model_props(model, {METADATA_KEY: json.dumps(kept)})
    onnx.save(model, target)
    return target


def test_reading_imports_neither_torch_nor_its_companions(exported: Path, tmp_path: Path) -> None:
    Image.new("RGB", (60, 20), "white").save(tmp_path / "a.png")
    code = (
        "import sys; from strhub.inference.onnx_engine import Recognizer; "
        "Recognizer(sys.argv[1])(sys.argv[2]);"
        "print([name for name in ('torch', 'yaml', 'safetensors', 'onnx', 'hydra', 'lmdb') if name "
        "in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(exported), str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_file_describes_itself(exported: Path) -> None:
    description = Recognizer(exported).description
    model = load("strhub-tiny")
    assert description["format"] == FORMAT
    assert description["architecture"] == "parseq"
    assert description["tokenizer"] == "attention"
    assert description["charset"] == model.hparams.charset_train
    assert description["img_size"] == list(model.hparams.img_size)
    assert description["normalize"] == model.hparams.normalize
    assert description["temperature"] == model.hparams.get("temperature", 1.0)
    assert description["decoding"]["refine_iters"] == 2
    assert description["card"] == {"licence": "Apache-2.0"}


def test_any_kind_of_input_in_any_number(exported: Path, tmp_path: Path) -> None:
    recognizer = Recognizer(exported, batch_size=2, threads=1)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 50, 3), dtype=np.uint8))
    image.save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"nothing")
    readings = recognizer(
        [tmp_path / "a.png", tmp_path / "b.png", image, np.asarray(image), "missing.png", 5]
    )
    assert [reading.error is None for reading in readings] == [
        True,
        False,
        True,
        True,
        False,
        False,
    ]
    assert readings[0].text == readings[2].text == readings[3].text
    assert readings[0].source == str(tmp_path / "a.png")
    assert readings[2].source is None
    assert readings[1].source == str(tmp_path / "b.png")
    assert len(recognizer(image)) == 1
    assert recognizer([]) == []
    assert recognizer(["missing.png"])[0].error is not None
    assert len(readings[0].character_confidences) == len(readings[0].text)


def test_temperature_and_empty_text(exported: Path, tmp_path: Path) -> None:
    originals = [
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (20, 50, 3), np.uint8))
        for i in range(8)
    ]
    sure = Recognizer(changed(exported, tmp_path / "sure.onnx", temperature=0.5))(originals)
    unsure = Recognizer(changed(exported, tmp_path / "unsure.onnx", temperature=4.0))(originals)
    assert [reading.text for reading in sure] == [reading.text for reading in unsure]
    assert all(
        one.confidence > other.confidence
        for one, other in zip(sure, unsure, strict=True)
        if one.text
    )
    blank = Recognizer(exported)
    blank.engine.tokenizer.decode_characters = lambda logits: [("", 0.9, np.zeros(0, np.float32))]  # type: ignore[method-assign]
    assert blank(originals[0])[0].confidence == 0


def test_images_of_different_widths_are_computed_apart(exported: Path) -> None:
    recognizer = Recognizer(exported)
    seen = []

    class Session:
        def run(
            self, names: Any, inputs: dict[str, np.ndarray[Any, Any]]
        ) -> list[np.ndarray[Any, Any]]:
            images = inputs["images"]
            seen.append(images.shape)
            logits = np.zeros((len(images), 3, 95), np.float32)
            # a digit that tells the width
            logits[:, 0, 1 + images.shape[3] // 32] = logits[:, 1, 0] = 9
            return [logits]

    recognizer.engine._alone = PerProcess(Session)
    from strhub.images.preprocess import image_to_kept_pixels

    recognizer._to_pixels = image_to_kept_pixels
    originals = [Image.new("RGB", size) for size in ((32, 32), (96, 32), (32, 32), (64, 32))]
    assert [reading.text for reading in recognizer(originals)] == ["1", "3", "1", "2"]
    assert sorted(seen) == [(1, 3, 32, 64), (1, 3, 32, 96), (2, 3, 32, 32)]


@pytest.mark.parametrize(
    ("size", "width"), [((320, 32), 320), ((10, 100), 32), ((9000, 10), 512), ((33, 16), 64)]
)
def test_kept_width(size: tuple[int, int], width: int) -> None:
    assert kept_width(size, (32, 512)) == width


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": FORMAT + 1}, "update strhub"),
        ({"format": "new"}, "damaged"),
        ({"format": None}, "damaged"),
        ({"charset": None}, "does not say its charset"),
        ({"tokenizer": "byte-pairs"}, "needs the tokenizer 'byte-pairs'"),
    ],
)
def test_a_description_that_is_not_usable(
    exported: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Recognizer(changed(exported, tmp_path / "changed.onnx", **changes))


def test_an_onnx_file_of_others(tmp_path: Path) -> None:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "ab"]
    graph = helper.make_graph(
        [helper.make_node("Abs", ["a"], ["b"])], "others", value[:1], value[1:]
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(
        helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "others.onnx"
    )
    with pytest.raises(ValueError, match="not one of strhub"):
        Recognizer(tmp_path / "others.onnx")


def test_operators_that_the_runtime_lacks(exported: Path, tmp_path: Path) -> None:
    model = onnx.load(exported)
    model.opset_import[0].version = 99
    onnx.save(model, tmp_path / "new.onnx")
    with pytest.raises(ValueError, match="newer onnxruntime, or export it with a lower --opset"):
        Recognizer(tmp_path / "new.onnx")


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_damaged_file(exported: Path, tmp_path: Path, kept: float) -> None:
    content = exported.read_bytes()
    (tmp_path / "damaged.onnx").write_bytes(
        content[: int(kept if kept >= 1 else kept * len(content))]
    )
    with pytest.raises(ValueError, match=r"damaged\.onnx"):
        Recognizer(tmp_path / "damaged.onnx")


def test_arguments_are_checked(exported: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ({"batch_size": 0}, "batch_size is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"device": "abacus"}, "no device 'abacus'"),
    ):
        with pytest.raises(ValueError, match=message):
            Recognizer(exported, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no file"):
        Recognizer(tmp_path / "missing.onnx")


def test_without_onnxruntime_the_extra_is_named(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install onnxruntime"):
        Recognizer(exported)


def test_a_file_that_is_replaced_while_it_is_read_with_changes_no_texts(
    exported: Path, tmp_path: Path
) -> None:
    """Many images take a second session, which must not be of the model that is there by then."""
    path = tmp_path / "model.onnx"
    path.write_bytes(exported.read_bytes())
    originals = [np.zeros((20, 60, 3), np.uint8)] * 10
    replaced, gone = Recognizer(path, threads=2), Recognizer(path, threads=2)
    expected = [reading.text for reading in Recognizer(path, threads=2)(originals)]
    (tmp_path / "new.onnx").write_text("another model")
    (tmp_path / "new.onnx").replace(path)
    assert [reading.text for reading in replaced(originals)] == expected
    path.unlink()
    assert [reading.text for reading in gone(originals)] == expected


def test_a_damaged_file_is_told_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "strhub-tiny.onnx").write_bytes(embedded_graph("strhub-tiny").read_bytes())
    (tmp_path / "strhub-tiny.safetensors").write_bytes(
        embedded_weights("strhub-tiny").read_bytes()[:100_000]
    )
    with pytest.raises(ValueError, match="that of its weights, if"):
        Recognizer(tmp_path / "strhub-tiny.onnx")
    assert capfd.readouterr().err == ""
