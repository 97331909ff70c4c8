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
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from strhub.checkpoint.formats import Checkpoint, CheckpointError
from strhub.checkpoint.scene_text_model import build_network, build_tokenizer
from strhub.checkpoint.zoo import mismatch_table
from strhub.text import fold_to_ascii

Action = Literal["kept", "characters", "resized", "new", "dropped"]
Grid = tuple[int, int]

# Parameter names to the axes that grow with something.
Axes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Change:
    """What became of one parameter. name: in the network, or in the file if it was dropped; note:
    in words.
    """

    name: str
    action: Action
    note: str = ""


@dataclass(frozen=True)
class Adaptation:
    """What became of a checkpoint.

    changes: of every parameter; characters: each character of the new charset with the one of the
    old charset whose weights it took, "" if there was none; dropped: characters of the old charset
    that the new one lacks.
    """

    changes: tuple[Change, ...]
    characters: Mapping[str, str]
    dropped: str

    @property
    def counts(self) -> Counter[str]:
        """How many parameters met which action."""
        return Counter(change.action for change in self.changes)

    @property
    def new_characters(self) -> str:
        """Characters of the new charset that nothing was known of."""
        return "".join(character for character, origin in self.characters.items() if not origin)

    def table(self) -> str:
        """One line of sums and one for each parameter that was not kept as it is."""
        actions: tuple[Action, ...] = ("kept", "characters", "resized", "new", "dropped")
        lines = [
            "parameters: " + ", ".join(f"{self.counts[action]} {action}" for action in actions)
        ]
        borrowed = [
            f"{new} from {old}" for new, old in self.characters.items() if old not in ("", new)
        ]
        for title, members in (
            ("new characters", self.new_characters),
            ("characters that start as others", ", ".join(borrowed)),
            ("dropped characters", self.dropped),
        ):
            if members:
                lines.append(f"{title}: {members if len(members) <= 100 else members[:100] + '…'}")
        changed = [change for change in self.changes if change.action != "kept"]
        width = max((len(change.name) for change in changed), default=0)
        return "\n".join(
            [*lines, *(f"  {c.action:<10}  {c.name:<{width}}  {c.note}".rstrip() for c in changed)]
        )


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
    """Each character of `charset` with the one of `known` to start from, "" if there is none."""
    return {
        character: next((c for c in _candidates(character, variants=variants) if c in known), "")
        for character in charset
    }


def _candidates(character: str, *, variants: bool) -> list[str]:
    """The character; with variants its other case, then its base letter, then that one's other
    case.
    """
    if not variants:
        return [character]
    base = fold_to_ascii(character) if not character.isascii() else character
    if (
        len(base) != 1 or base == character
    ):  # ß is spelled ss: no one letter; ά has no spelling in ASCII
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
        """An old value in its new shape, and what was done; its shape stays wrong if nothing is
        known to do.

        computed: it is not learned but follows from the sizes, as tables of sines do.
        """
        axes = {kind: table.get(name, ()) for kind, table in (
            ("character", self.character_axes), ("length", self.length_axes), ("patch",
                self.patch_axes)
        )}  # fmt: skip
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
        place = {token: before + number for number, token in enumerate(sources)}
        known = [place[token] for token in sources if len(token) == 1]
        average = old[known].mean(0) if known else torch.zeros_like(old[0])
        rows = list(old[:before])
        for number, token in enumerate(tokens):
            origin = self.characters.get(token, token)
            rows.append(old[place[origin]] if origin in place else average + fresh[before + number])
        return torch.stack(rows).movedim(0, axis)

    def _resize_positions(self, old: Tensor, fresh: Tensor, axis: int) -> tuple[Tensor, str]:
        """Positions of patches, (1, N, D) with or without a class token before, interpolated on
        their grid.
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
    """Whether two shapes are the same but for some axes and the sides of kernels."""
    if old.ndim != fresh.ndim:
        return False
    free = {*besides, *((2, 3) if fresh.ndim == 4 else ())}
    return all(
        old.shape[axis] == fresh.shape[axis] for axis in range(fresh.ndim) if axis not in free
    )


def growing_axes(hparams: Mapping[str, Any], **change: Any) -> Axes:
    """The axes whose size other hyper-parameters change, by the names of parameters that have
    such.
    """
    with torch.random.fork_rng(devices=[]):
        before, after = (
            build_network({**hparams, **options}).state_dict() for options in ({}, change)
        )
    return {
        name: [
            axis
            for axis, sizes in enumerate(zip(tensor.shape, after[name].shape, strict=True))
            if len({*sizes}) > 1
        ]
        for name, tensor in before.items()
        if name in after and after[name].shape != tensor.shape
    }


def character_tables(hparams: Mapping[str, Any]) -> Axes:
    """The parameters of a model that have a row or column for each character, with the axes."""
    charset = hparams["charset_train"]
    unused = next(chr(code) for code in range(0x4E00, 0x9FFF) if chr(code) not in charset)
    return growing_axes(hparams, charset_train=charset + unused)


def _tokens(hparams: Mapping[str, Any]) -> list[str]:
    tokenizer = build_tokenizer(hparams)
    return [tokenizer.text_of([number]) for number in range(len(tokenizer))]


def _token_rows(tokens: Sequence[str], size: int) -> tuple[int, Sequence[str]]:
    """How many rows of a table come before its tokens, and which tokens it has: all, or all but [B]
    and [P].
    """
    if tokens[-2:] == ["[B]", "[P]"] and size == len(tokens) - 2:
        tokens = tokens[:-2]
    return size - len(tokens), tokens


def _grid(hparams: Mapping[str, Any]) -> Grid | None:
    """Rows and columns of patches; None for a network that cuts none."""
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


def resize_grid(positions: Tensor, before: Grid, after: Grid) -> Tensor:
    """Positions (rows * columns, D) of one grid to another, bicubic. The same grid gives the same
    numbers.
    """
    if before == after:
        return positions
    image = positions.float().T.unflatten(1, before).unsqueeze(0)  # (1, D, rows, columns)
    image = F.interpolate(image, size=after, mode="bicubic", align_corners=False, antialias=True)
    return image.squeeze(0).flatten(1).T.to(positions)


def resize_patch_kernel(kernel: Tensor, size: Grid) -> Tensor:
    """A kernel (D, C, h, w) for patches of another size: it sees a patch as the old one sees that
    patch resized.
    """
    before = (kernel.shape[2], kernel.shape[3])
    pixels = (
        torch.eye(size[0] * size[1]).unflatten(1, size).unsqueeze(0)
    )  # (1, h' * w', h', w'): one lit in each
    resized = F.interpolate(
        pixels, size=before, mode="bicubic", align_corners=False, antialias=True
    )
    weights = (
        kernel.float().flatten(2) @ resized[0].flatten(1).T
    )  # (D, C, h * w) by (h * w, h' * w')
    return weights.unflatten(2, size).to(kernel)
