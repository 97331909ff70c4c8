"""PARSeq gives the reference's numbers: logits in every decode mode, masks, losses, gradients."""

import numpy as np
import pytest
import torch
from golden_numbers import FOLDER, fill, images, recorded, recorded_arrays

from strhub.checkpoint.zoo import SceneTextModel, create_model, load_from_checkpoint
from strhub.models.parseq.decoder import permutation_masks
from strhub.training.systems.parseq import PARSeq

pytestmark = pytest.mark.numeric

EXPERIMENTS = ["parseq-tiny", "parseq", "parseq-patch16-224"]


def recorded_model(experiment: str) -> SceneTextModel:
    model = create_model(experiment).eval()
    fill(model.model)
    return model


def recorded_system(experiment: str) -> PARSeq:
    hparams = dict(create_model(experiment).hparams) | {"dropout": 0.0}
    system = PARSeq(**hparams)
    fill(system.model)
    return system


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_parameters_and_hyper_parameters_are_the_published_ones(experiment: str) -> None:
    golden = recorded(f"{experiment}.json")
    model = create_model(experiment)
    shapes = {name: list(tensor.shape) for name, tensor in model.model.state_dict().items()}
    assert shapes == golden["state_dict"]
    published = {
        name: value for name, value in golden["hyper_parameters"].items() if name != "name"
    }
    assert {name: model.hparams[name] for name in published} == published


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_logits_of_all_decode_modes(experiment: str) -> None:
    model = recorded_model(experiment)
    golden = recorded_arrays(f"{experiment}.npz")
    inputs = images(2, *model.hparams.img_size)
    with torch.inference_mode():
        for mode, decode_ar in (("ar", True), ("nar", False)):
            for refine_iters in (0, 1, 2):
                model.set_decoding(decode_ar=decode_ar, refine_iters=refine_iters)
                logits = model(inputs, model.hparams.max_label_length).numpy()
                np.testing.assert_allclose(
                    logits, golden[f"{mode}_refine{refine_iters}"], rtol=0, atol=1e-4
                )
        memory = model.model.encoder(inputs)[:, : golden["memory"].shape[1]].numpy()
    np.testing.assert_allclose(memory, golden["memory"], rtol=0, atol=1e-4)


def test_masks_of_a_permutation() -> None:
    golden = recorded("training.json")["models"]["parseq-tiny"]
    permutation = torch.tensor(golden["perms"][2:3])
    masks = permutation_masks(
        permutation, hidden=torch.zeros(1, permutation.shape[1] - 1, dtype=torch.bool)
    )
    assert (~masks.query[0]).int().tolist() == golden["masks_of_perm_2"]["query"]
    assert (~masks.content[0]).int().tolist() == golden["masks_of_perm_2"]["content"]


@pytest.mark.parametrize("experiment", ["parseq-tiny", "parseq"])
def test_training_loss_and_gradients(experiment: str) -> None:
    training = recorded("training.json")
    golden = training["models"][experiment]
    system = recorded_system(experiment)
    tokens = system.tokenizer.encode(training["labels"])
    inputs = images(len(training["labels"]), *system.hparams["img_size"])
    loss = system.permutation_loss(
        system.model.encoder(inputs), tokens, torch.tensor(golden["perms"])
    )
    loss.backward()
    norms = {
        name: parameter.grad.norm().item() for name, parameter in system.model.named_parameters()
    }
    total = float(np.sqrt(sum(norm**2 for norm in norms.values())))
    assert loss.item() == pytest.approx(golden["training_step"]["loss"], rel=1e-5)
    assert total == pytest.approx(golden["training_step"]["total_grad_norm"], rel=1e-3)
    for name, norm in golden["training_step"]["grad_norms"].items():
        assert norms[name] == pytest.approx(norm, rel=1e-3), name


@pytest.mark.parametrize("experiment", ["parseq-tiny", "parseq"])
def test_validation_loss(experiment: str) -> None:
    training = recorded("training.json")
    golden = training["models"][experiment]
    system = recorded_system(experiment).eval()
    with torch.inference_mode():
        inputs = images(len(training["labels"]), *system.hparams["img_size"])
        _, loss, elements = system.validation_loss(inputs, training["labels"])
    assert loss.item() == pytest.approx(golden["validation_loss"], rel=1e-5)
    assert elements == golden["validation_loss_numel"]


@pytest.mark.parametrize("file", ["reference-lightning.ckpt", "reference-lightning.pt"])
def test_reference_checkpoints_load_and_give_their_logits(file: str) -> None:
    heads = {} if file.endswith(".ckpt") else {"enc_num_heads": 3, "dec_num_heads": 6}
    model = load_from_checkpoint(FOLDER / file, **heads).eval()
    (golden,) = recorded_arrays("reference-lightning.npz").values()
    assert len(model.hparams.charset_train) == 36
    with torch.inference_mode():
        logits = model(images(2, *model.hparams.img_size), model.hparams.max_label_length).numpy()
    np.testing.assert_allclose(logits, golden, rtol=0, atol=1e-4)
