"""Checking a draft at once gives what reading it step by step gives, to rounding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import strhub
from strhub.models.parseq.decoder import Masks
from strhub.models.parseq.drafting import PASSES, count_positions, refine_draft
from strhub.models.parseq.model import PARSeq
from strhub.models.parseq.reader import Memory

pytestmark = pytest.mark.numeric
END = 0


def next_id(before: list[int], answers: list[int]) -> int:
    """A made-up reader's character after those before it: it depends on all of them."""
    return answers[(sum(before) + len(before)) % len(answers)]


@given(
    st.lists(st.integers(0, 3), min_size=3, max_size=9),
    st.lists(st.integers(0, 3), min_size=1, max_size=7),
    st.integers(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_any_draft_ends_as_step_by_step_reading_does(
    answers: list[int], draft: list[int], missing: int
) -> None:
    steps = len(draft) + (missing == 0)  # a draft of all steps, or of the first ones
    expected: list[int] = []
    while len(expected) < steps and END not in expected:
        expected.append(next_id(expected, answers))
    passes = []

    def decode(tokens: Tensor, masks: Masks) -> Tensor:
        passes.append(tokens)
        assert masks.query.shape == (2, tokens.shape[1], tokens.shape[1])
        before = tokens[0, 1:].tolist()
        ids = [next_id(before[:index], answers) for index in range(tokens.shape[1])]
        logits = torch.nn.functional.one_hot(torch.tensor(ids), 4).float()
        return torch.stack([logits, -logits])[None]  # the refinement is of the last check

    start = torch.tensor([[9]])
    read = refine_draft(decode, torch.tensor([draft]), start=start, end=END, steps=steps)
    assert len(passes) <= PASSES
    if read is not None:
        assert read.argmin(-1)[0].tolist() == expected
        assert passes[-1][0, 1:].tolist() == expected[:-1]
    elif len(draft) == steps:
        assert len(passes) == PASSES


def test_positions_of_a_draft_are_those_to_the_last_rows_end() -> None:
    assert count_positions(torch.tensor([[3, 0, 3], [0, 3, 3]]), END) == 2
    assert count_positions(torch.tensor([[3, 0, 3], [3, 3, 3]]), END) == 3
    assert count_positions(torch.tensor([[0]]), END) == 1


def images(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.rand(count, 3, 32, 128, generator=generator) * 2 - 1


@pytest.mark.parametrize(("count", "refine_iters"), [(1, 1), (1, 2), (2, 1), (5, 1)])
def test_drafted_logits_are_those_of_steps(count: int, refine_iters: int) -> None:
    network = strhub.load("strhub-tiny", refine_iters=refine_iters).model
    assert isinstance(network, PARSeq)
    network.eval().drafted_rows = count
    with torch.inference_mode():
        for batch in images(6 * count).split(count):
            drafted = network(batch)
            network.drafted_rows = 0
            torch.testing.assert_close(drafted, network(batch), rtol=1e-4, atol=1e-4)
            network.drafted_rows = count


@pytest.mark.parametrize("dec_depth", [1, 2])
def test_a_draft_is_checked_by_decoders_of_any_depth(
    dec_depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = strhub.create_model("parseq-tiny", embed_dim=48, enc_depth=1, dec_depth=dec_depth)
    network = model.model.eval()
    assert isinstance(network, PARSeq)
    with torch.no_grad():
        network.pos_queries.normal_(std=2.0)  # characters differ by position
        network.head.weight.normal_(std=1.0)
    results = []
    by_draft = network._read_by_draft

    def watched(memory: Memory, steps: int) -> Tensor | None:
        results.append(by_draft(memory, steps))
        return results[-1]

    monkeypatch.setattr(network, "_read_by_draft", watched)
    with torch.inference_mode():
        for image in images(3).split(1):
            drafted = network(image)
            network.drafted_rows = 0
            torch.testing.assert_close(drafted, network(image), rtol=1e-4, atol=1e-4)
            network.drafted_rows = 1
    assert any(read is not None for read in results), "no draft was read, so nothing was shown"
