"""ABINet's own properties: what its language model may see, sizes, gradients, files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_numbers import images
from torch import Tensor

from strhub import Recognizer, load_from_checkpoint, save_model
from strhub.checkpoint.experiments import experiment_hyper_parameters
from strhub.checkpoint.zoo import create_model
from strhub.models.abinet import Network
from strhub.models.abinet.language import visible_characters
from strhub.training.systems.abinet import ABINet

pytestmark = pytest.mark.numeric

SMALL: dict[str, Any] = {
    "img_size": [16, 32],
    "max_label_length": 7,
    "d_model": 32,
    "nhead": 2,
    "d_inner": 64,
    "dropout": 0.0,
    "v_num_layers": 1,
    "l_num_layers": 2,
    "iter_size": 2,
    "charset_train": "0123456789ab",
}
TRAINING = {
    "optimizer": {"_target_": "torch.optim.AdamW"},
    "schedule": {"_target_": "torch.optim.lr_scheduler.OneCycleLR"},
}
LABELS = ["12ab", "b", "0987654"]


def small_model(experiment: str = "abinet", **options: Any) -> Any:
    torch.manual_seed(0)
    return create_model(experiment, **{**SMALL, **options})


def small_system(experiment: str = "abinet", **options: Any) -> ABINet:
    torch.manual_seed(0)
    return ABINet(
        **{**experiment_hyper_parameters(experiment), **SMALL, **TRAINING, **options}
    ).train()


def loss_of(system: ABINet, inputs: Tensor) -> Tensor:
    targets = system.targets(LABELS)
    return system.weighted_sum(system.losses(system.estimates(inputs, targets), targets))


def inputs(count: int = 3) -> Tensor:
    return images(count, 16, 32)


def test_only_characters_up_to_the_end_are_visible() -> None:
    ids = torch.tensor([[3, 4, 0, 5, 0], [1, 2, 3, 4, 5], [0, 1, 2, 3, 4]])
    expected = [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert visible_characters(ids).int().tolist() == expected


def test_the_language_model_tells_a_character_from_the_others_alone() -> None:
    """Change one character: every position but its own may change. Over two units as well."""
    language = small_model().model.language.eval()
    text = torch.nn.functional.one_hot(torch.tensor([[1, 2, 3, 4, 5, 6, 7, 0]]), 13).float()
    with torch.no_grad():
        before = language(text).logits[0]
        for position in range(7):
            changed = text.clone()
            changed[0, position] = torch.eye(13)[9]
            after = language(changed).logits[0]
            moved = {
                index
                for index in range(8)
                if not torch.allclose(before[index], after[index], atol=1e-7)
            }
            assert moved == set(range(8)) - {position}


def test_what_follows_the_end_is_not_looked_at() -> None:
    language = small_model().model.language.eval()
    ended, other = (
        torch.tensor([[1, 2, 0, 0, 0, 0, 0, 0]]),
        torch.tensor([[1, 2, 0, 5, 6, 7, 0, 0]]),
    )
    with torch.no_grad():
        logits = [
            language(torch.nn.functional.one_hot(ids, 13).float()).logits for ids in (ended, other)
        ]
    assert torch.equal(*logits)


def test_no_gradient_reaches_what_the_language_model_corrects() -> None:
    for detach in (True, False):
        text = torch.rand(1, 8, 13, requires_grad=True)
        language = small_model(l_detach=detach).model.language
        language(text).logits.square().sum().backward()
        assert (text.grad is None) == detach


def test_the_number_of_corrections_can_be_changed_on_a_loaded_model() -> None:
    model = small_model().eval()
    with torch.inference_mode():
        by_sight = model.model.vision(inputs()).logits
        readings = []
        for count in (0, 1, 2, 3):
            model.set_decoding(iter_size=count)
            readings.append(model(inputs()))
    assert torch.equal(readings[0], by_sight)
    assert not torch.equal(readings[1], readings[2])


def test_as_many_steps_as_asked_for() -> None:
    model = small_model().eval()
    with torch.inference_mode():
        whole = model(inputs())
        assert whole.shape == (3, 8, 13)
        assert torch.equal(model(inputs(), 3), whole[:, :4])
        assert torch.equal(model(inputs(), 1000), whole)


@pytest.mark.parametrize("experiment", ["abinet", "abinet-sv"])
@pytest.mark.parametrize("img_size", [[32, 128], [20, 44], [4, 4], [64, 64]])
def test_any_image_size(experiment: str, img_size: list[int]) -> None:
    model = small_model(experiment, img_size=img_size).eval()
    with torch.inference_mode():
        assert model(images(2, *img_size)).shape == (2, 8, 13)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"img_size": [30, 64]}, "multiples of 4"),
        ({"d_model": 24}, "multiple of 16"),
        ({"nhead": 3}, "3 heads of equal size"),
        ({"activation": "rely"}, "'rely': it must be one of relu, gelu"),
        ({"v_attention": "parallel"}, "'parallel': it must be"),
        ({"v_attention_mode": "near"}, "'near': it must be one of nearest"),
        ({"v_backbone": "vit"}, "'vit': it must be one of transformer"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_model(**options)


def test_a_image_of_another_size_is_refused_with_the_right_one() -> None:
    with pytest.raises(ValueError, match=r"\(B, 3, 16, 32\), not \(2, 3, 32, 128\)"):
        small_model()(images(2, 32, 128))


@pytest.mark.parametrize("experiment", ["abinet", "abinet-sv"])
@pytest.mark.parametrize("phase", ["apart", "joint", "language"])
def test_every_parameter_that_is_trained_has_a_gradient(experiment: str, phase: str) -> None:
    """So that several devices need not search for unused ones."""
    system = small_system(experiment, lm_only=phase == "language")
    system.joint = phase == "joint"
    loss_of(system, inputs()).backward()
    groups = list(system.parameter_groups(1e-3))
    pairs = (
        [pair for group in groups for pair in group["params"]]
        if isinstance(groups[0], dict)
        else groups
    )
    trained = [name for name, parameter in system.named_parameters() if parameter.requires_grad]
    assert sorted(name for name, _ in pairs) == sorted(trained)
    assert [name for name, parameter in pairs if parameter.grad is None] == []
    if phase == "language":
        assert all(name.startswith("model.language.") for name in trained)


def test_the_language_model_has_its_own_rate() -> None:
    system = small_system(lr=4e-4, l_lr=1e-4)
    others, language = system.parameter_groups(8e-4)
    assert others["lr"] == 8e-4
    assert language["lr"] == pytest.approx(2e-4)
    assert {name.split(".")[1] for name, _ in language["params"]} == {"language"}
    assert {name.split(".")[1] for name, _ in others["params"]} == {"vision", "alignment"}


@pytest.mark.parametrize("phase", ["apart", "joint", "language"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_lowers_the_loss(phase: str, dtype: torch.dtype) -> None:
    # Twice as large as the others' images: oneDNN leaves gradients of a 3 x 3 kernel on a single
    # pixel unwritten in bfloat16, so that on processors which have it they are whatever memory
    # held.
    system = small_system(lm_only=phase == "language", img_size=[32, 64])
    system.joint = phase == "joint"
    optimizer = torch.optim.AdamW([p for p in system.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            loss = loss_of(system, images(3, 32, 64))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.99 * losses[0]


def test_the_fusion_made_anew_is_the_same_on_every_device() -> None:
    """Whatever was drawn there before: dropout's randomness differs between devices."""
    fresh = []
    for sampled in (1, 5):
        system = small_system()
        before = system.model.alignment.w_att.weight.clone()
        torch.rand(sampled)
        state = torch.random.get_rng_state()
        system.begin_joint_training()
        assert torch.equal(torch.random.get_rng_state(), state)
        assert not torch.equal(system.model.alignment.w_att.weight, before)
        fresh.append(system.model.alignment.state_dict())
    assert all(torch.equal(tensor, fresh[1][name]) for name, tensor in fresh[0].items())
    assert fresh[0]["w_att.weight"].std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("experiment", ["abinet", "abinet-sv"])
def test_saved_and_loaded_is_the_same(experiment: str, tmp_path: Path) -> None:
    model = small_model(experiment).eval()
    save_model(model, tmp_path / "m.safetensors", {"data": "none"})
    loaded = load_from_checkpoint(tmp_path / "m.safetensors").eval()
    kept = {
        name: value for name, value in model.hparams.items() if name != "language_weights"
    }  # of training alone
    assert loaded.hparams == kept
    with torch.inference_mode():
        assert torch.equal(model(inputs()), loaded(inputs()))


@pytest.mark.parametrize(
    "options",
    [
        {"img_size": [32, 64]},
        {"img_size": [28, 28]},
        {"v_backbone": "resnet", "img_size": [32, 128]},
        {"v_attention": "attention", "l_use_self_attn": True, "img_size": [32, 64]},
    ],
)
def test_bare_weights_tell_their_sizes(options: dict[str, Any]) -> None:
    model = small_model(**options, nhead=1, iter_size=3)
    reported = Network.sizes_of(model.model.state_dict())
    assert reported.pop("charset_size") == 12
    expected = {name: model.hparams[name] for name in reported} | (
        {"v_num_layers": 0} if "v_backbone" in options else {}
    )
    assert reported == expected


def test_a_recognizer_reads_with_it() -> None:
    words = [np.full((20, 50, 3), shade, dtype=np.uint8) for shade in (0, 128, 255)]
    readings = Recognizer(small_model(), device="cpu", iter_size=1)([*words, "no such file.png"])
    assert [reading.error is None for reading in readings] == [True, True, True, False]


def test_a_label_that_is_too_long_is_named() -> None:
    with pytest.raises(ValueError, match="longer than max_label_length, 7"):
        small_system().targets(["12345678"])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"iter_size": 0}, "iter_size is 0"), ({"pretrain_pct": 1.5}, r"1\.5: it must be in")],
)
def test_training_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_system(**options)
