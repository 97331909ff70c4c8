"""The shape of the package: public names, direction of imports, what reading may import."""

import ast
import subprocess
import sys
from pathlib import Path

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
        "Reading",
        "Recognizer",
        "create_model",
        "list_models",
        "load",
        "load_from_checkpoint",
        "save",
        "save_model",
    ]
    for name in strhub.__all__:
        assert getattr(strhub, name).__name__ == name


def test_text_knows_nothing_of_the_rest() -> None:
    for path in (PACKAGE / "text").glob("*.py"):
        assert all(module.startswith("strhub.text") for module in imports_of(path)), path


def test_networks_know_nothing_of_text_files_or_training() -> None:
    networks = [*(PACKAGE / "models").glob("*/*.py")]
    checked = [path for path in networks if path.name != "system.py"]
    assert len(checked) >= 6
    for path in checked:
        allowed = ("strhub.models.layers", f"strhub.models.{path.parent.name}")
        assert all(module.startswith(allowed) for module in imports_of(path)), path


def test_only_scripts_import_the_command_lines() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name != "cli":
            assert not any(f"{module}.".startswith("strhub.cli.") for module in imports_of(path)), path


def test_reading_imports_no_training_framework() -> None:
    code = (
        "import sys; from strhub import Recognizer; Recognizer(device='cpu')(['demo_images/01.png']);"
        "print([name for name in ('pytorch_lightning', 'hydra', 'omegaconf', 'ray', 'nltk', 'torchvision', 'timm',"
        " 'lmdb', 'rapidfuzz') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_strhub_imports_no_torch() -> None:
    code = "import sys, strhub, strhub.text, strhub.images, strhub.data.synth; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_no_global_configuration_is_changed_by_importing() -> None:
    code = (
        "from PIL import Image; before = Image.MAX_IMAGE_PIXELS; import strhub.recognizer, strhub.zoo;"
        "import torch; print(before == Image.MAX_IMAGE_PIXELS, torch.get_default_dtype())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True torch.float32"
