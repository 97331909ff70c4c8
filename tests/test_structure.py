"""The shape of the package: public names, direction of imports, what reading may import."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.utils import get_class

import strhub

PACKAGE = Path(strhub.__file__).parent


def imports_of(path: Path) -> set[str]:
    """Modules of strhub that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("strhub"):
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.startswith("strhub"))
    return found


def test_public_names() -> None:
    assert strhub.__all__ == [
        "CheckpointError",
        "ConfigError",
        "DataError",
        "MissingExtra",
        "MixedInstall",
        "Page",
        "Reading",
        "Recognizer",
        "Spotter",
        "StrhubError",
        "TrainingError",
        "UnreadableImage",
        "create_model",
        "detect",
        "list_models",
        "load",
        "load_from_checkpoint",
        "push",
        "save",
        "save_model",
    ]
    for name in strhub.__all__:
        assert getattr(strhub, name).__name__ == name


# Each package may import those before it, and no other. There are no exceptions: what has to be at
# an old address is found there when it is used, by `strhub.utils.moved`.
PACKAGES = (
    "errors", "configs", "utils", "text", "images", "models", "weights", "checkpoint", "inference",
        "spotting", "data",
    "clip", "evaluation", "training", "explain", "export", "benchmark", "bulk", "serving", "cli",
)  # fmt: skip
LOOSE = {"__init__", "__main__", "onnx"}


def test_packages_import_only_those_before_them() -> None:
    wrong, edges = [], set()
    for path in PACKAGE.rglob("*.py"):
        package = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if package in LOOSE:
            continue
        for module in imports_of(path):
            imported = module.split(".")[1] if "." in module else ""
            if imported and imported != package:
                if imported != "errors":  # a module, and everybody's
                    edges.add((package, imported))
                if imported not in PACKAGES[: PACKAGES.index(package)]:
                    wrong.append(f"{path.relative_to(PACKAGE)} imports {module}")
    assert not wrong, wrong
    assert len(edges) <= 72, "half of what there was when packages imported each other freely"


def test_nothing_lies_loose() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} <= LOOSE | {"errors"}


def test_networks_know_nothing_of_text_files_or_training() -> None:
    checked = [path for path in (PACKAGE / "models").glob("*/*.py") if path.name != "system.py"]
    assert len(checked) >= 6
    for path in checked:
        allowed = (
            "strhub.models.layers",
            "strhub.models.network",
            f"strhub.models.{path.parent.name}",
        )
        assert all(module.startswith(allowed) for module in imports_of(path)), path


OLD_ADDRESSES = (
    "strhub.onnx.Recognizer",
    "strhub.models.parseq.system.PARSeq",
    "strhub.models.abinet.system.ABINet",
    "strhub.models.crnn.system.CRNN",
    "strhub.models.svtr.system.SVTRv2",
    "strhub.models.trba.system.TRBA",
    "strhub.models.trbc.system.TRBC",
    "strhub.models.vitstr.system.ViTSTR",
    "strhub.models.base.System",
    "strhub.data.dataset.WordDataset",
    "strhub.data.texts.TextDataModule",
    "strhub.callbacks.LateWeightAveraging",
    "strhub.callbacks.LastCheckpoint",
    "strhub.checkpoint_files.DurableCheckpointIO",
    "strhub.loggers.ContinuedCSVLogger",
    "strhub.optimizers.MuonWithAdamW",
)


@pytest.mark.parametrize("address", OLD_ADDRESSES)
def test_old_addresses_go_on_working_in_configurations(address: str) -> None:
    assert isinstance(get_class(address), type)


def test_the_configuration_stands_where_hydra_users_look() -> None:
    configs = PACKAGE.parent / "configs"
    assert configs.samefile(PACKAGE / "configs")


def test_only_scripts_import_the_command_lines() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] not in ("cli", "__main__.py"):
            assert not any(f"{module}.".startswith("strhub.cli.") for module in imports_of(path)), (
                path
            )


def test_reading_imports_no_training_framework() -> None:
    code = (
        "import sys; from strhub import Recognizer; "
        "Recognizer(device='cpu')(['demo_images/01.png']);"
        "print([name for name in ('pytorch_lightning', 'hydra', 'omegaconf', 'ray', 'nltk', "
        "'torchvision', 'timm',"
        " 'lmdb', 'rapidfuzz') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_importing_strhub_imports_no_torch() -> None:
    code = (
        "import sys, strhub, strhub.text, strhub.images.open, strhub.data.synth; print('torch' in "
        "sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_no_global_configuration_is_changed_by_importing() -> None:
    code = (
        "from PIL import Image; before = Image.MAX_IMAGE_PIXELS; "
        "import strhub.inference.recognizer, strhub.checkpoint.zoo;"
        "import torch; print(before == Image.MAX_IMAGE_PIXELS, torch.get_default_dtype())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True torch.float32"


def test_no_file_is_longer_than_three_hundred_lines() -> None:
    lines = {
        str(path.relative_to(PACKAGE)): path.read_text("utf-8").count("\n")
        for path in PACKAGE.rglob("*.py")
    }
    assert not {path: count for path, count in lines.items() if count > 300}


def test_lmdb_is_known_in_one_place() -> None:
    """Its keys, files and library: whoever has to do with it asks `strhub.data.sources.lmdb`."""
    address = "strhub.data.sources.lmdb"
    knows = re.compile(r"^ *import lmdb$|\"(data|lock)\.mdb\"|b\"(image|label|num)-", re.MULTILINE)
    for path in PACKAGE.rglob("*.py"):
        if not path.match("data/sources/lmdb*.py"):
            assert not knows.search(path.read_text("utf-8")), path
            assert not [one for one in imports_of(path) if one.startswith(f"{address}_")], path


def test_files_are_put_in_place_in_one_module() -> None:
    """Half-written files never have their final names: `strhub.utils.files` sees to that."""
    moves = re.compile(r"\bos\.(replace|rename)\(|\.rename\(|\bos\.fsync\(")
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if moves.search(path.read_text("utf-8"))
    }
    assert found == {"utils/files.py"}
