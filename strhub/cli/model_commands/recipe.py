"""The recipe of a model: the stages by which it is made.

In: a YAML file, or the name of one that comes with strhub. Out: its content, checked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from strhub.utils.options import take_renamed, unknown_name_message

__all__ = ["MODELS", "Stage", "find_recipe", "kind_and_name", "read_recipe"]

RECIPES: Final = Path(__file__).resolve().parents[1] / "recipes"
KINDS: Final = ("train", "label", "render", "average")
MODELS: Final = ("train", "average")  # the kinds that make a model

Stage = dict[str, Any]


def kind_and_name(stage: Stage) -> tuple[str, str]:
    """Return what a stage does, one of `KINDS`, and the name it goes by."""
    kind = next(kind for kind in KINDS if kind in stage)
    return kind, str(stage[kind])


def find_recipe(named: str) -> Path:
    """Return a recipe's file: that of strhub's own if it is one's name. `ValueError` if there is
    none.
    """
    own = {path.stem: path for path in sorted(RECIPES.glob("*.yaml"))}
    if named in own:
        return own[named]
    path = Path(named)
    if not path.is_file() and path.suffix not in (".yaml", ".yml"):
        raise ValueError(unknown_name_message(named, own, "recipe"))
    return path


def read_recipe(path: Path) -> Stage:
    """Return the recipe in a YAML file. `ValueError` with what is wrong with it."""
    import yaml

    try:
        recipe = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    stages = recipe.get("stages") if isinstance(recipe, dict) else ()
    if not isinstance(stages, list | tuple | None):
        raise ValueError(f"{path}: stages must be a list")
    for number, stage in enumerate(stages or (), 1):
        if not isinstance(stage, dict) or len(set(KINDS) & set(stage)) != 1:
            raise ValueError(f"{path}: stage {number} must have one of {', '.join(KINDS)}")
    needed = {"weights", "precision", "stages", "calibrate", "evaluate"}
    missing = needed - set(recipe if isinstance(recipe, dict) else ())
    if missing:
        raise ValueError(
            f"{path} is not a recipe: it lacks {', '.join(sorted(missing))}; see those in {RECIPES}"
        )
    stages = [take_renamed(stage, {"pictures": "images"}) for stage in recipe["stages"] or ()]
    return {**recipe, "stages": stages}
