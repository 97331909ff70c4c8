"""`@path` is a charset wherever a command takes one, and never the characters of the path."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image, ImageDraw

from strhub.checkpoint.formats import read_checkpoint
from strhub.checkpoint.zoo import create_model
from strhub.cli import data, explain, export, read
from strhub.cli import test as scoring
from strhub.cli.arguments import model_options
from strhub.cli.hydra_command import read_charsets
from strhub.data.sources.lmdb import write_lmdb
from strhub.errors import DataError

LETTERS = "äöü"
SIZES = ("enc_num_heads:int=1", "dec_num_heads:int=1")  # bare weights do not tell them


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bare weights of a model of three letters, which they do not tell, a dictionary
    of those, and words that have them.
    """
    folder = tmp_path_factory.mktemp("letters")
    model = create_model(
        "parseq-tiny",
        charset_train=LETTERS,
        embed_dim=16,
        enc_num_heads=1,
        dec_num_heads=1,
        enc_depth=1,
        patch_size=[16, 32],
    )
    torch.save(model.model.state_dict(), folder / "bare.pt")
    (folder / "letters.txt").write_text("\n".join(LETTERS), "utf-8")
    image = Image.new("RGB", (40, 12), "white")
    ImageDraw.Draw(image).line((4, 6, 36, 6), "black", 3)
    image.save(folder / "image.png")
    (folder / "test").mkdir()
    write_lmdb(folder / "test" / "street", [(image, "äöü"), (image, "öäx")])
    return folder


def arguments_of(command: str, folder: Path, charset: str) -> list[str]:
    """Return what reads the model of the folder in a charset, or scores its words in it."""
    model = [str(folder / "bare.pt"), f"charset_train={charset}", *SIZES]
    street = str(folder / "test" / "street")
    scored = ["--sets", "street", "--data_root", str(folder), "--device", "cpu"]
    return {
        "read": [*model, "--images", str(folder / "image.png"), "--device", "cpu"],
        "read --output": [
            *model, "--images", str(folder / "image.png"), "--output", str(folder / "readings"),
        ],
        "export": [*model[:1], str(folder / "named.safetensors"), *model[1:]],
        "explain": [
            "attention", *model, "--images", str(folder / "image.png"), "--output",
            str(folder / "maps"), "--device", "cpu",
        ],
        "test": [*model, *scored, "--num_workers", "0"],
        "test --reader": [*model, *scored, "--reader"],
        "test --charset": [*model[:1], "charset_train=äöü", *SIZES, *scored, "--charset", charset],
        "data inspect": ["inspect", street, "--charset", charset, "--workers", "1"],
        "data filter": [
            "filter", street, str(folder / "kept"), "--charset", charset, "--workers", "1",
        ],
        "data render": ["render", str(folder / "drawn"), "--count", "2", "--workers", "1",
                        "--charset", charset],
        "data suspects": [
            "suspects", street, str(folder / "suspects.html"), "--charset", charset,
            "--model", "strhub-tiny", "--device", "cpu",
        ],
        "data sheet": ["sheet", str(folder / "sheet.png"), "--count", "2", "--charset", charset],
    }[command]  # fmt: skip


def run(command: str, arguments: list[str]) -> str:
    """Run a command within this process; return what it returns as text, if it does."""
    name = command.partition(" ")[0]
    runs = {
        "read": read.run,
        "export": export.run,
        "explain": explain.run,
        "test": scoring.run,
        "data": data.run,
    }
    return str(runs[name](arguments))  # type: ignore[operator]


READ = ("read", "read --output", "export", "explain", "test", "test --reader", "test --charset")
DATA = ("data inspect", "data filter", "data render", "data sheet", "data suspects")


@pytest.mark.parametrize("command", [*READ, *DATA])
def test_a_charset_from_a_file(
    command: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run(command, arguments_of(command, here, f"@{here}/letters.txt"))
    said += capsys.readouterr().out
    if command == "export":
        assert read_checkpoint(here / "named.safetensors").hparams["charset_train"] == LETTERS
    elif command == "test":
        assert "own charset of 3 characters" in said
    elif command == "test --charset":
        assert "| street" in said
    elif command == "data suspects":
        assert "of 2 are suspected" in said
    elif command == "data filter":
        assert "1 records kept, 1 dropped" in said


@pytest.mark.parametrize("command", [*READ, *DATA])
def test_a_file_that_is_not_there(command: str, here: Path) -> None:
    with pytest.raises(
        DataError, match=r"no file or folder absent\.txt|absent\.txt cannot be read"
    ):
        run(command, arguments_of(command, here, "@absent.txt"))


def test_options_of_models_and_data(here: Path) -> None:
    charset = f"@{here}/letters.txt"
    options = model_options([f"charset_train={charset}", f"charset_test:str={charset}", "name=@x"])
    assert options == {"charset_train": LETTERS, "charset_test": LETTERS, "name": "@x"}
    text = "model: {charset_train: abc}\ndata: {charset_train: '${model.charset_train}'}"
    config = OmegaConf.create(text)
    config.model.charset_train = charset
    config.data.charset_test = charset
    read_charsets(config)
    assert (config.data.charset_train, config.data.charset_test) == (LETTERS, LETTERS)
    read_charsets(OmegaConf.create({"model": None}))
