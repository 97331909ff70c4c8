"""How words are rendered, as a file says it: which effects, how often, how strong.

In: the name of a file in `strhub/configs/style`, a path, or a mapping of the same form. Out:
`RenderStyle`, checked. Nothing here needs Hydra.

Every pair of numbers says what holds at difficulty 0 and at difficulty 1; between them it changes
evenly. A step strikes with its `probability`, and then with a strength drawn evenly from 0 to its
`strength`.
"""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from strhub.configs import CONFIG_DIR
from strhub.data.synth.backdrop import BACKDROPS
from strhub.data.synth.steps import step_limits
from strhub.utils.options import check_options, unknown_name_message
from strhub.utils.yaml_text import read_yaml

_LARGEST = 1 << 20  # bytes of a file of settings

__all__ = ["Pair", "RenderStyle", "StepRange", "load_style", "style_names"]

Pair: TypeAlias = tuple[float, float]
"""A number at difficulty 0 and at difficulty 1."""
_FOLDER: Final = CONFIG_DIR / "style"
_NUMBERS: Final = (
    "height_median",
    "height_spread",
    "height_least",
    "height_most",
    "least_em",
    "margin",
    "sign_colours",
    "texture_reach",
)


@dataclass(frozen=True)
class StepRange:
    """How likely a step is and how strong it is at most, at difficulty 0 and at difficulty 1."""

    probability: Pair
    strength: Pair


@dataclass(frozen=True)
class RenderStyle:
    """Checked settings of how words are rendered.

    height_median, height_spread: of the images' heights in pixels: the median, and the deviation of
        the logarithm.
    height_least, height_most: no image is lower or, but for what `least_em` asks, higher.
    least_em: smallest letters, in pixels an em. margin: most room around a word that no step has
        changed, in em.
    sign_colours: fraction of words whose colors are from the table of signs, 0..1. texture_reach:
    how far a textured ground strays from its color, as a fraction of the contrast. backdrops:
    fractions of the kinds of ground. steps: by name.
    """

    height_median: Pair
    height_spread: Pair
    height_least: Pair
    height_most: Pair
    least_em: Pair
    margin: Pair
    sign_colours: Pair
    texture_reach: Pair
    backdrops: Mapping[str, Pair]
    steps: Mapping[str, StepRange]


def style_names() -> list[str]:
    """Return the names of the files that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_style(source: str | Path | Mapping[str, Any] = "default") -> RenderStyle:
    """Return the settings of that name, in that file or in that mapping.

    A file or a mapping may say `base: <name>` and then only what differs from it; without `base`,
    that is "default". A step or backdrop that is left out is as in the base.

    Raises:
        ValueError: for an unknown name or key, naming the nearest; for numbers outside of their
            range.
    """
    content, where = _content(source)
    merged = _based(content, where, depth=0)
    return _checked(merged, where)


def _content(source: str | Path | Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    if isinstance(source, Mapping):
        return source, "style"
    path = Path(source)
    if str(source) in style_names():
        path = _FOLDER / f"{source}.yaml"
    elif not path.is_file():
        if path.suffix or len(path.parts) > 1:
            raise ValueError(
                f"style file {path} does not exist; give a path or one of "
                f"{', '.join(style_names())}"
            )
        raise ValueError(unknown_name_message(str(source), style_names(), "style"))
    try:
        content = read_yaml(path, max_bytes=_LARGEST)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{path} must hold a mapping such as strhub/configs/style/default.yaml, not "
            f"{reprlib.repr(content)}"
        )
    return content, str(path)


def _based(content: Mapping[str, Any], where: str, *, depth: int) -> dict[str, Any]:
    """Return `content` merged over what it is based on."""
    if depth > 8:
        raise ValueError(f"{where}: base is circular; let one of the files name no base")
    check_options(map(str, content), ("base", "backdrops", "steps", *_NUMBERS), where)
    merged: dict[str, Any] = {}
    complete = {*_NUMBERS, "backdrops", "steps"} <= set(content) and set(step_limits()) <= set(
        content["steps"] or ()
    )
    base = content.get("base", None if complete else "default")
    if base is not None:
        base_content, base_where = _content(base)
        merged = _based(base_content, base_where, depth=depth + 1)
    for key, value in content.items():
        if key in ("backdrops", "steps"):
            if not isinstance(value, Mapping):
                raise ValueError(f"{where}: {key} must be a mapping, not {value!r}")
            check_options(
                map(str, value), step_limits() if key == "steps" else BACKDROPS, f"{where}: {key}"
            )
            merged[key] = {**merged.get(key, {}), **value}
        elif key != "base":
            merged[key] = value
    return merged


def _checked(merged: Mapping[str, Any], where: str) -> RenderStyle:
    numbers = {name: _pair(merged[name], f"{where}: {name}") for name in _NUMBERS}
    for name in ("height_median", "height_least", "height_most", "least_em"):
        if min(numbers[name]) < 4:
            raise ValueError(f"{where}: {name} must be at least 4 pixels, not {min(numbers[name])}")
    if max(numbers["height_least"]) > min(numbers["height_most"]):
        raise ValueError(f"{where}: height_least must not be above height_most")
    if max(numbers["sign_colours"]) > 1:
        raise ValueError(
            f"{where}: sign_colours is a fraction and must lie in 0..1, not "
            f"{max(numbers['sign_colours'])}"
        )
    backdrops = {
        name: _pair(merged["backdrops"].get(name, 0), f"{where}: backdrops.{name}")
        for name in BACKDROPS
    }
    if min(sum(pair[end] for pair in backdrops.values()) for end in (0, 1)) <= 0:
        raise ValueError(
            f"{where}: backdrops must have a fraction above 0 at both difficulties, such as flat: 1"
        )
    steps = {
        name: _step_range(merged["steps"][name], f"{where}: {name}", limit)
        for name, limit in step_limits().items()
    }
    return RenderStyle(**numbers, backdrops=backdrops, steps=steps)


def _step_range(value: Any, where: str, limit: float) -> StepRange:
    if value is None or value is False:
        return StepRange((0.0, 0.0), (0.0, 0.0))
    if not isinstance(value, Mapping):
        raise ValueError(
            f"{where} must be {{probability: [.., ..], strength: [.., ..]}} or null, not {value!r}"
        )
    check_options(map(str, value), ("probability", "strength"), where)
    found = {}
    for key, highest in (("probability", 1.0), ("strength", limit)):
        if key not in value:
            raise ValueError(f"{where} lacks {key}; give two numbers, for difficulty 0 and 1")
        found[key] = _pair(value[key], f"{where}.{key}")
        if max(found[key]) > highest:
            raise ValueError(f"{where}.{key} must lie in 0..{highest:g}, not {max(found[key]):g}")
    return StepRange(**found)


def _pair(value: Any, where: str) -> Pair:
    """Return two numbers of at least 0; one stands for both."""
    ends = (
        list(value)
        if isinstance(value, Sequence) and not isinstance(value, str)
        else [value, value]
    )
    if len(ends) != 2 or any(
        isinstance(end, bool) or not isinstance(end, (int, float)) for end in ends
    ):
        raise ValueError(
            f"{where} must be two numbers, for difficulty 0 and 1, or one for both; not {value!r}"
        )
    if any(not 0 <= end <= sys.float_info.max for end in ends):
        raise ValueError(f"{where} must be finite and not below 0, not {value!r}")
    return float(ends[0]), float(ends[1])
