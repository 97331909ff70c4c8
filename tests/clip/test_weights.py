"""CLIP's files: both towers against recorded numbers, every format, and files that are not to be
trusted.
"""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_support import as_torchscript, recorded_state, small_state
from golden_numbers import images, recorded, recorded_arrays
from safetensors.torch import save_file

from strhub.checkpoint.clip_names import published_state
from strhub.checkpoint.formats import CheckpointError
from strhub.clip.sources import find_clip
from strhub.clip.weights import ClipWeights, read_clip
from strhub.models.layers.clip import ClipImageTower

pytestmark = pytest.mark.numeric


def image_tower(clip: ClipWeights, img_size: list[int]) -> ClipImageTower:
    sizes = clip.image_sizes()
    tower = ClipImageTower(
        img_size=img_size,
        patch_size=sizes["patch_size"],
        embed_dim=sizes["enc_embed_dim"],
        depth=sizes["enc_depth"],
        num_heads=sizes["enc_num_heads"],
        output_dim=sizes["embed_dim"],
    )
    grid = (img_size[0] // sizes["patch_size"][0], img_size[1] // sizes["patch_size"][1])
    tower.load_state_dict(clip.image_state(grid))
    return tower.eval()


@pytest.fixture(scope="module")
def golden_clip(tmp_path_factory: pytest.TempPathFactory) -> ClipWeights:
    path = tmp_path_factory.mktemp("clip") / "clip.safetensors"
    save_file(recorded_state(), path)
    return read_clip(path)


def test_the_recorded_image_tokens_and_features(golden_clip: ClipWeights) -> None:
    golden = recorded_arrays("clip-tiny.npz")
    tower = image_tower(golden_clip, [32, 32])
    with torch.inference_mode():
        tokens = tower(images(2, 32, 32))
        np.testing.assert_allclose(
            tokens[:, 0].numpy(), golden["image_features"], rtol=0, atol=1e-4
        )
        tower.projection = torch.nn.Identity()  # type: ignore[assignment]
        before = tower(images(2, 32, 32))
    np.testing.assert_allclose(before.numpy(), golden["visual_tokens"], rtol=0, atol=1e-4)


def test_the_recorded_text_features_and_similarities(golden_clip: ClipWeights) -> None:
    golden = recorded_arrays("clip-tiny.npz")
    ids = torch.from_numpy(golden["text_tokens"])
    lengths = ids.argmax(-1) + 1  # the end has the largest id
    with torch.inference_mode():
        texts = golden_clip.text_tower("quick_gelu")(ids, lengths)
        inputs = image_tower(golden_clip, [32, 32])(images(2, 32, 32))[:, 0]
    np.testing.assert_allclose(texts.numpy(), golden["text_features"], rtol=0, atol=1e-4)
    cosines = torch.nn.functional.cosine_similarity(inputs[:, None], texts[None], dim=-1)
    scale = np.exp(recorded("clip-tiny.json")["logit_scale"])
    np.testing.assert_allclose(
        scale * cosines.numpy(), golden["logits_per_image"], rtol=0, atol=1e-3
    )


def test_padding_after_the_end_changes_nothing(golden_clip: ClipWeights) -> None:
    golden = recorded_arrays("clip-tiny.npz")
    ids = torch.from_numpy(golden["text_tokens"])[:, :8]
    with torch.inference_mode():
        texts = golden_clip.text_tower("quick_gelu")(ids, ids.argmax(-1) + 1)
    np.testing.assert_allclose(texts.numpy(), golden["text_features"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "kind", ["torchscript", "dictionary", "training", "safetensors", "own text tower"]
)
def test_every_format_gives_the_same_weights(tmp_path: Path, kind: str) -> None:
    state = {
        name: tensor.half().float() for name, tensor in small_state().items()
    }  # OpenAI's are in half precision
    path = tmp_path / "clip.pt"
    if kind == "torchscript":
        as_torchscript(state, path)
    elif kind == "training":
        torch.save(
            {
                "epoch": 3,
                "state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
            },
            path,
        )
    elif kind == "safetensors":
        path = path.with_suffix(".safetensors")
        save_file(state, path)
    elif kind == "own text tower":  # as open_clip names those of its later models
        torch.save(
            {
                name if name.startswith(("visual", "logit")) else f"text.{name}": t
                for name, t in state.items()
            },
            path,
        )
    else:
        torch.save({name: tensor.half() for name, tensor in state.items()}, path)
    clip = read_clip(path)
    assert clip.image_sizes() == {
        "patch_size": [8, 8],
        "embed_dim": 32,
        "enc_embed_dim": 64,
        "enc_depth": 2,
        "enc_num_heads": 1,
        "enc_mlp_ratio": 4,
        "dec_num_heads": 1,
    }
    assert {tensor.dtype for tensor in (*clip.image.values(), *clip.text.values())} == {
        torch.float32
    }
    assert torch.equal(clip.image["projection.weight"], state["visual.proj"].T)
    assert torch.equal(clip.image["patch_embed.proj.weight"], state["visual.conv1.weight"])
    assert torch.equal(clip.text["token_embedding.weight"], state["token_embedding.weight"])
    assert torch.equal(clip.text_tower("gelu").projection.weight, state["text_projection"].T)


def test_towers_are_written_by_their_published_names(golden_clip: ClipWeights) -> None:
    written = published_state(golden_clip.image, golden_clip.text)
    recorded_tensors = recorded_state()
    assert {*recorded_tensors} - {*written} == {"logit_scale"}
    assert all(torch.equal(tensor, recorded_tensors[name]) for name, tensor in written.items())


def test_a_free_tower_may_have_convolutions_before_its_patches() -> None:
    tower = ClipImageTower(
        img_size=(16, 16), patch_size=(8, 8), embed_dim=64, depth=1, num_heads=1, output_dim=32,
        stem=[4, 8],
    )  # fmt: skip
    assert tower(torch.zeros(2, 3, 16, 16)).shape == (2, 5, 32)
    assert "visual.patch_embed.stem.0.weight" in published_state(tower.state_dict(), {})


def test_positions_of_another_image_size_are_interpolated(golden_clip: ClipWeights) -> None:
    same = golden_clip.image_state((4, 4))
    assert torch.equal(same["pos_embed"], golden_clip.image["pos_embed"])
    wide = golden_clip.image_state((8, 32))["pos_embed"]
    assert wide.shape == (1, 1 + 8 * 32, 64)
    assert torch.equal(wide[:, 0], golden_clip.image["pos_embed"][:, 0]), (
        "the class token has no place"
    )
    assert image_tower(golden_clip, [64, 256])(images(1, 64, 256)).shape == (1, 257, 32)
    # The middle of a row that grows from 4 to 8 columns lies between its neighbors of before.
    row = golden_clip.image_state((4, 8))["pos_embed"][0, 1:9]
    assert not torch.equal(row[3], row[4])


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, "ran")


def rewrite(path: Path, name_ends: str, content: bytes) -> None:
    """Replace a member of an archive."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, old in members.items():
            archive.writestr(name, content if name.endswith(name_ends) else old)


def test_code_in_an_archive_is_not_run(tmp_path: Path) -> None:
    path, sign = tmp_path / "clip.pt", tmp_path / "sign"
    as_torchscript(small_state(), path)
    rewrite(path, "/data.pkl", pickle.dumps(Evil(sign)))
    with pytest.raises(CheckpointError, match=r"refused: it holds more than tensors.*names"):
        read_clip(path)
    torch.save({"visual.proj": Evil(sign)}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="refused"):
        read_clip(tmp_path / "evil.pt")
    assert not sign.exists()


def test_a_tensor_cannot_reach_beyond_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "clip.pt"
    as_torchscript(small_state(), path)
    rewrite(path, "/data/1", b"\0")
    with pytest.raises(CheckpointError, match="cut off"):
        read_clip(path)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_files_are_named(tmp_path: Path, fraction: float, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    if suffix == ".pt":
        as_torchscript(small_state(), path)
    else:
        save_file(small_state(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(CheckpointError, match=path.name):
        read_clip(path)


def test_other_models_are_no_clip(tmp_path: Path) -> None:
    state = small_state()
    resnet = {name: t for name, t in state.items() if "visual.conv1" not in name} | {
        "visual.layer1.0.x": torch.ones(1)
    }
    save_file(resnet, tmp_path / "resnet.safetensors")
    with pytest.raises(CheckpointError, match="ResNet"):
        read_clip(tmp_path / "resnet.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="it is not a CLIP"):
        read_clip(tmp_path / "other.safetensors")
    save_file(
        {name: t for name, t in state.items() if name.startswith("visual.")},
        tmp_path / "blind.safetensors",
    )
    with pytest.raises(CheckpointError, match="no text tower"):
        read_clip(tmp_path / "blind.safetensors").text_tower("gelu")
    buffer = io.BytesIO()
    torch.save([1, 2], buffer)
    (tmp_path / "list.pt").write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError, match="holds a list"):
        read_clip(tmp_path / "list.pt")


def test_weights_that_are_not_to_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*arguments: Any, **options: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(
        CheckpointError, match=r"ViT-B-32\.pt[\s\S]*pretrained_encoder=<path>[\s\S]*null"
    ):
        find_clip("openai", "clip_vit_b32")
    with pytest.raises(CheckpointError, match="no weights of an encoder called 'clip'"):
        find_clip("openai", "clip")
    with pytest.raises(CheckpointError, match=r"no file /gone\.pt"):
        find_clip("/gone.pt", "clip_vit_b32")
    cached = tmp_path / "hub" / "checkpoints" / "ViT-B-32.pt"
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="damaged"):
        find_clip("openai", "clip_vit_b32")


def test_names_of_open_clip_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "open_clip.pretrained", None)
    with pytest.raises(CheckpointError, match=r"pip install .*\[clip\]"):
        find_clip("laion2b_s34b_b79k", "clip_vit_b32")


def test_names_of_open_clip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    try:
        from open_clip import pretrained
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"open_clip, the extra [clip], cannot be imported: {error}")
    asked: list[Any] = []
    monkeypatch.setattr(
        pretrained, "download_pretrained", lambda settings: asked.append(settings) or "fetched.bin"
    )
    assert find_clip("laion2b_s34b_b79k", "clip_vit_b32") == (Path("fetched.bin"), "gelu")
    assert find_clip("ViT-B-16:openai", "clip_vit_b32") == (Path("fetched.bin"), "quick_gelu")
    assert "laion2B-s34B" in asked[0]["hf_hub"]
    with pytest.raises(CheckpointError, match="It has: openai"):
        find_clip("laion3b", "clip_vit_b32")
