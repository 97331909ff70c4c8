"""Code written for the reference runs: its imports, its attributes, and programs like its read.py
and test.py.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.checkpoint.zoo import create_model, load, load_from_checkpoint
from strhub.data.module import SceneTextDataModule
from strhub.text import CHARSET_36, CHARSET_94, AttentionTokenizer

DEMO = Path(__file__).parent.parent / "demo_images"
NAMES = {
    "strhub.models.utils": ("load_from_checkpoint", "create_model", "parse_model_args"),
    "strhub.data.dataset": ("LmdbDataset", "build_tree_dataset", "WordDataset"),
    "strhub.data.utils": ("BaseTokenizer", "Tokenizer", "CTCTokenizer", "CharsetAdapter"),
    "strhub.data.module": ("SceneTextDataModule",),
    "strhub.models.base": ("System",),
}


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in NAMES.items() for name in names]
)
def test_imports(module: str, name: str) -> None:
    assert callable(getattr(import_module(module), name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(import_module(module), "nothing")  # noqa: B009


def test_model_args() -> None:
    from strhub.models.utils import parse_model_args  # type: ignore[attr-defined]

    assert parse_model_args(
        ["refine_iters:int=2", "decode_ar:bool=false", "lr:float=1e-3", "name:str=a=b"]
    ) == {
        "refine_iters": 2,
        "decode_ar": False,
        "lr": 1e-3,
        "name": "a=b",
    }


def test_lmdb_data_sets(word_tree: Path) -> None:
    from strhub.data.dataset import LmdbDataset, build_tree_dataset  # type: ignore[attr-defined]

    folder = word_tree / "train" / "real" / "a"
    words = LmdbDataset(
        str(folder), CHARSET_36, 25, transform=SceneTextDataModule.get_transform((32, 128))
    )
    image, label = words[0]
    assert image.shape == (3, 32, 128)
    assert label == words.labels[0] == label.lower()
    assert len(words) == 24
    unlabelled = LmdbDataset(folder, CHARSET_36, 25, unlabelled=True)
    assert unlabelled[3][1] == 3
    assert isinstance(unlabelled[3][0], Image.Image)
    both = build_tree_dataset(word_tree / "train", CHARSET_36, 25, transform=words.transform)
    assert len(both) == 40
    images, labels = next(iter(DataLoader(both, batch_size=4)))
    assert (images.shape, len(labels)) == ((4, 3, 32, 128), 4)
    with pytest.raises(ValueError, match="no LMDB folder"):
        build_tree_dataset(DEMO, CHARSET_36, 25)


def test_the_data_module_takes_positions(word_tree: Path) -> None:
    module = SceneTextDataModule(
        str(word_tree), "real", (32, 128), 25, CHARSET_94, CHARSET_36, 8, 0, False, rotation=90
    )
    assert (module.batch_size, module.num_workers, module.augment, module.rotation) == (
        8,
        0,
        False,
        90,
    )
    assert set(SceneTextDataModule.TEST_BENCHMARK_SUB) & set(
        SceneTextDataModule.TEST_BENCHMARK
    ) >= {"SVT", "IIIT5k"}
    assert SceneTextDataModule.TEST_NEW == ("ArT", "COCOv1.4", "Uber")


def test_decoding_gives_lists_of_tokens_and_tensors() -> None:
    tokenizer = AttentionTokenizer("abc")
    distribution = torch.eye(4)[torch.tensor([[1, 2, 0, 0]])] * 0.5
    texts, confidences = tokenizer.decode(distribution)
    assert texts == ["ab"]
    assert isinstance(confidences[0], Tensor)
    assert confidences[0].tolist() == [0.5, 0.5, 0.5]
    tokens, confidences = tokenizer.decode(distribution, raw=True)
    assert tokens == [["a", "b", "[E]", "[E]"]]
    assert confidences[0].prod().item() == 0.5**4
    assert isinstance(tokenizer.decode(distribution.numpy())[1][0], type(distribution.numpy()))


def test_models_have_lightning_s_ways() -> None:
    model = create_model("parseq-tiny", enc_depth=1)
    model.freeze()
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    model.unfreeze()
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.device == torch.device("cpu")


@torch.inference_mode()
def read_program(checkpoint: str, images: Sequence[Path], device: str = "cpu") -> list[str]:
    """As the reference's read.py does it: one image at a time, tokens decoded from
    probabilities.
    """
    model = load_from_checkpoint(checkpoint, refine_iters=1).eval().to(device)
    transform = SceneTextDataModule.get_transform(model.hparams.img_size)
    readings = []
    for name in images:
        image = transform(Image.open(name).convert("RGB")).unsqueeze(0).to(device)
        texts, confidences = model.tokenizer.decode(model(image).softmax(-1))
        assert 0 <= confidences[0].prod().item() <= 1
        readings.append(texts[0])
    return readings


def test_program_read() -> None:
    images = sorted(DEMO.iterdir())[:3]
    model = load("strhub-tiny").eval()
    transform = SceneTextDataModule.get_transform(model.hparams.img_size)
    batch = torch.stack([transform(Image.open(path).convert("RGB")) for path in images])
    assert read_program("pretrained=strhub-tiny", images) == [
        text for text, *_ in model.read(batch)
    ]


@torch.inference_mode()
def scoring_program(
    checkpoint: str, root: Path, names: Sequence[str]
) -> dict[str, tuple[int, float]]:
    """As the reference's test.py does it: batches of pairs, one `test_step` each, sums over
    them.
    """
    model: SceneTextModel = (
        load_from_checkpoint(checkpoint, charset_test=CHARSET_36).eval().to("cpu")
    )
    hp = model.hparams
    datamodule = SceneTextDataModule(
        root,
        "_unused_",
        hp.img_size,
        hp.max_label_length,
        hp.charset_train,
        hp.charset_test,
        4,
        0,
        False,
        rotation=0,
    )
    results = {}
    for name, dataloader in datamodule.test_dataloaders(names).items():
        total = correct = 0
        ned = confidence = label_length = 0.0
        for imgs, labels in dataloader:
            res = model.test_step((imgs.to(model.device), labels), -1)["output"]
            total += res.num_samples
            correct += res.correct
            ned += res.ned
            confidence += res.confidence
            label_length += res.label_length
        assert 0 <= ned <= total
        assert 0 <= confidence <= total
        assert label_length >= total
        results[name] = (total, 100 * correct / total)
    return results


def test_program_test(word_tree: Path) -> None:
    from strhub.evaluation.evaluate import evaluate

    found = scoring_program("pretrained=strhub-tiny", word_tree, ["IIIT5k", "SVT"])
    model = load("strhub-tiny", charset_test=CHARSET_36).eval()
    hp = model.hparams
    data = SceneTextDataModule(
        word_tree,
        "",
        hp.img_size,
        hp.max_label_length,
        hp.charset_train,
        CHARSET_36,
        4,
        augment=False,
    )
    scores = evaluate(model, data, ["IIIT5k", "SVT"])
    assert found == {name: (score.samples, 100 * score.accuracy) for name, score in scores.items()}
    assert found["IIIT5k"][0] == 10
    assert found["IIIT5k"][1] > 50
