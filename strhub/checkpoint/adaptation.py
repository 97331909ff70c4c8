"""Weights of one model into another of another alphabet, label length, image size or patch.

In: a network with fresh weights, its hyper-parameters, and a checkpoint. Out: the network with
everything that the checkpoint knows of use to it, and a table of what was kept, resized, new and
dropped.

Which axes of which parameters stand for characters, label positions or patches is found by building
the network with one character more, one position more or twice the width, and looking at what
grows. So architectures declare nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from strhub.checkpoint.changes import Adaptation, Change
from strhub.checkpoint.fitting import mismatch_table
from strhub.checkpoint.formats import Checkpoint, CheckpointError
from strhub.checkpoint.resizing import (
    Axes,
    Grid,
    character_tables,
    growing_axes,
    resize_grid,
    resize_patch_kernel,
)
from strhub.checkpoint.scene_text_model import build_tokenizer
from strhub.text import fold_to_ascii


def adapt(
    network: nn.Module,
    hparams: Mapping[str, Any],
    checkpoint: Checkpoint,
    *,
    variants: bool = False,
) -> Adaptation:
    """Load a checkpoint into a network that may differ from it in charset, label length, image size
    and patch.

    network: with fresh weights, which what is new keeps; hparams: its hyper-parameters; variants: a
    character that the checkpoint lacks takes the weights of its other case or of its base letter
    (Ä: ä, A or a), if those are known.

    Rows of embeddings and heads go by character, [E], [B], [P] and the blank by role. A new
    character starts at the mean of all known ones, so that it is as unlikely as any. Positions of
    patches are interpolated on their grid. Positions in the label stay as far as they reach;
    further ones begin at the last. Patch kernels are resized. All else goes by name. Raises
    `CheckpointError` with a table if anything else differs in shape, or nothing fits.
    """
    target = network.state_dict()
    parameters = dict(network.named_parameters())
    rules = _Rules(hparams, checkpoint.hparams, variants=variants)
    changes: list[Change] = []
    problems: list[tuple[str, str, str]] = []
    adapted: dict[str, Tensor] = {}
    for name, fresh in target.items():
        old = checkpoint.weights.get(name)
        if old is None:
            changes.append(Change(name, "new", "not in the file"))
            continue
        value, change = rules.carry(name, old.to(fresh), fresh, computed=name not in parameters)
        if value.shape != fresh.shape:
            problems.append((name, str(tuple(old.shape)), str(tuple(fresh.shape))))
        else:
            adapted[name] = value
            changes.append(change)
    if problems or not adapted:
        table = (
            mismatch_table(problems)
            if problems
            else "  no parameter has a name that the model knows"
        )
        raise CheckpointError(
            "the pretrained weights do not fit: charset, max_label_length, img_size and patch_size "
            "may differ from "
            f"theirs, other sizes may not\n{table}"
        )
    changes += [
        Change(name, "dropped", "not in the model")
        for name in checkpoint.weights
        if name not in target
    ]
    network.load_state_dict({**target, **adapted})
    charset = hparams["charset_train"]
    dropped = "".join(c for c in checkpoint.hparams["charset_train"] if c not in charset)
    return Adaptation(tuple(changes), rules.characters, dropped)


def matching_characters(charset: str, known: str, *, variants: bool) -> dict[str, str]:
    """Map each character of `charset` to the one of `known` to start from, or to "" if there is
    none.
    """
    return {
        character: next((c for c in _candidates(character, variants=variants) if c in known), "")
        for character in charset
    }


def _candidates(character: str, *, variants: bool) -> list[str]:
    """Return the character; with variants its other case, then its base letter, then that one's
    other case.
    """
    if not variants:
        return [character]
    base = fold_to_ascii(character) if not character.isascii() else character
    # ß is spelled ss: no one letter; ά has no spelling in ASCII
    if len(base) != 1 or base == character:
        base = unicodedata.normalize("NFD", character)[0]
    return [c for c in (character, character.swapcase(), base, base.swapcase()) if len(c) == 1]


class _Rules:
    """What to do with each parameter, from what differs between two sets of hyper-parameters."""

    def __init__(self, new: Mapping[str, Any], old: Mapping[str, Any], *, variants: bool) -> None:
        self.characters = matching_characters(
            new["charset_train"], old["charset_train"], variants=variants
        )
        self.tokens = (_tokens(old), _tokens(new))
        self.grids = (_grid(old), _grid(new))

        def differ(*names: str) -> bool:
            return any(_plain(new.get(name)) != _plain(old.get(name)) for name in names)

        self.character_axes: Axes = (
            character_tables(new) if self.tokens[0] != self.tokens[1] else {}
        )
        self.length_axes: Axes = {}
        self.patch_axes: Axes = {}
        if differ("max_label_length"):
            self.length_axes = growing_axes(new, max_label_length=new["max_label_length"] + 1)
        if differ("img_size", "patch_size"):
            height, width = new["img_size"]
            self.patch_axes = growing_axes(new, img_size=[height, 2 * width])

    def carry(
        self, name: str, old: Tensor, fresh: Tensor, *, computed: bool
    ) -> tuple[Tensor, Change]:
        """Return an old value in its new shape, and what was done; its shape stays wrong if no rule
        applies.

        computed: it is not learned but follows from the sizes, as tables of sines do.
        """
        axes = {
            kind: table.get(name, ())
            for kind, table in (
                ("character", self.character_axes),
                ("length", self.length_axes),
                ("patch", self.patch_axes),
            )
        }
        if not _agree(old, fresh, besides=[axis for group in axes.values() for axis in group]):
            return old, Change(name, "kept")
        if computed and any(axes.values()):
            return fresh, Change(name, "new", "computed for the new sizes")
        value, change = old, Change(name, "kept")
        for axis in axes["character"]:
            value, change = (
                self._carry_characters(value, fresh, axis),
                Change(name, "characters", self._summary()),
            )
        for axis in axes["length"]:
            note = f"{value.shape[axis]} -> {fresh.shape[axis]} label positions"
            value, change = _continue(value, fresh, axis), Change(name, "resized", note)
        for axis in axes["patch"]:
            value, note = self._resize_positions(value, fresh, axis)
            change = Change(name, "resized" if note else "kept", note)
        if value.ndim == 4 and value.shape[:2] == fresh.shape[:2] and value.shape != fresh.shape:
            note = f"kernel {tuple(value.shape[2:])} -> {tuple(fresh.shape[2:])}"
            value, change = (
                resize_patch_kernel(value, (fresh.shape[2], fresh.shape[3])),
                Change(name, "resized", note),
            )
        return value, change

    def _summary(self) -> str:
        same = sum(new == old for new, old in self.characters.items())
        none = sum(not old for old in self.characters.values())
        return (
            f"{same} by character, {len(self.characters) - same - none} from variants, {none} new"
        )

    def _carry_characters(self, old: Tensor, fresh: Tensor, axis: int) -> Tensor:
        """Move what belongs to a token to where the token is now. What stands before the tokens
        stays.
        """
        before, sources = _token_rows(self.tokens[0], old.shape[axis])
        after, tokens = _token_rows(self.tokens[1], fresh.shape[axis])
        if before != after or before < 0:
            return old
        old, fresh = old.movedim(axis, 0), fresh.movedim(axis, 0)
        row_of = {token: before + number for number, token in enumerate(sources)}
        known = [row_of[token] for token in sources if len(token) == 1]
        average = old[known].mean(0) if known else torch.zeros_like(old[0])
        rows = list(old[:before])
        for number, token in enumerate(tokens):
            origin = self.characters.get(token, token)
            rows.append(
                old[row_of[origin]] if origin in row_of else average + fresh[before + number]
            )
        return torch.stack(rows).movedim(0, axis)

    def _resize_positions(self, old: Tensor, fresh: Tensor, axis: int) -> tuple[Tensor, str]:
        """Return positions of patches, (1, N, D) with or without a class token before, interpolated
        on their grid.
        """
        before, after = self.grids
        if before is None or after is None or before == after or old.ndim != 3 or axis != 1:
            return old, ""
        lead = old.shape[axis] - before[0] * before[1]
        if lead not in (0, 1) or fresh.shape[axis] - after[0] * after[1] != lead:
            return old, ""
        patches = resize_grid(old[0, lead:], before, after).unsqueeze(0)
        note = f"{before[0]} x {before[1]} -> {after[0]} x {after[1]} patches"
        return torch.cat([old[:, :lead], patches], dim=1), note


def _agree(old: Tensor, fresh: Tensor, *, besides: Sequence[int]) -> bool:
    """Return whether two shapes are the same but for some axes and the sides of kernels."""
    if old.ndim != fresh.ndim:
        return False
    free = {*besides, *((2, 3) if fresh.ndim == 4 else ())}
    return all(
        old.shape[axis] == fresh.shape[axis] for axis in range(fresh.ndim) if axis not in free
    )


def _tokens(hparams: Mapping[str, Any]) -> list[str]:
    tokenizer = build_tokenizer(hparams)
    return [tokenizer.text_of([number]) for number in range(len(tokenizer))]


def _token_rows(tokens: Sequence[str], size: int) -> tuple[int, Sequence[str]]:
    """Return how many rows of a table come before its tokens, and which tokens it has: all, or all
    but [B] and [P].
    """
    if tokens[-2:] == ["[B]", "[P]"] and size == len(tokens) - 2:
        tokens = tokens[:-2]
    return size - len(tokens), tokens


def _grid(hparams: Mapping[str, Any]) -> Grid | None:
    """Return rows and columns of patches; None for a network that cuts none."""
    if "patch_size" not in hparams:
        return None
    (height, width), (rows, columns) = hparams["img_size"], hparams["patch_size"]
    return height // rows, width // columns


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _continue(old: Tensor, fresh: Tensor, axis: int) -> Tensor:
    """Keep positions as far as both reach; further ones begin at the last, told apart by their
    fresh values.
    """
    length = min(old.shape[axis], fresh.shape[axis])
    more = fresh.narrow(axis, length, fresh.shape[axis] - length)
    last = old.narrow(axis, old.shape[axis] - 1, 1)
    return torch.cat([old.narrow(axis, 0, length), last + more], dim=axis)
