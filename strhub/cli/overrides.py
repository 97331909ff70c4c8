"""Bring a command line into the form that Hydra's grammar takes, whatever characters its paths and
texts have.

Hydra reads the value of an override by a grammar of its own: `a=b`, `a,b`, `(`, `#` and letters
beyond ASCII are errors there or mean something else, and `2024` is a number. What `TEXTS` lists is
text, so it is quoted unless Hydra's own parser reads it as that text already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from strhub.configs.former import present_override
from strhub.errors import ConfigError
from strhub.utils.options import warn_renamed

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = ["MAPPINGS", "TEXTS", "Override", "parse", "prepare", "split", "unpack_mappings"]

PATH = "path"  # a path, a name or an address; `${...}` in it refers to another option
PATHS = "paths"  # one of them, or a list
LETTERS = "letters"  # characters, each of which means itself

TEXTS = {
    "ckpt_path": PATH,
    "data.charset_test": LETTERS,
    "data.charset_train": LETTERS,
    "data.render.fonts": PATHS,
    "data.render.style": PATH,
    "data.root_dir": PATH,
    "data.shards": PATHS,
    "data.train_dir": PATH,
    "data.val_words": PATH,
    "data.words": PATH,
    "finetune.cache_features": PATH,
    "hydra.run.dir": PATH,
    "hydra.sweep.dir": PATH,
    "hydra.sweep.subdir": PATH,
    "images": PATH,
    "json": PATH,
    "logger.mlflow.experiment_name": PATH,
    "logger.mlflow.run_id": PATH,
    "logger.mlflow.run_name": PATH,
    "logger.mlflow.tracking_uri": PATH,
    "logger.mlflow.artifact_location": PATH,
    "logger.wandb.id": PATH,
    "logger.wandb.name": PATH,
    "logger.wandb.project": PATH,
    "model.charset_test": LETTERS,
    "model.charset_train": LETTERS,
    "model.contrastive.merges": PATH,
    "model.contrastive.text_weights": PATH,
    "model.contrastive.vocabulary": PATH,
    "model.language_weights": PATH,
    "model.name": PATH,
    "model.pretrained_encoder": PATH,
    "models": PATHS,
    "output_dir": PATH,
    "plot": PATH,
    "pretrained": PATH,
    "pretrained_encoder": PATH,
    "tune.address": PATH,
    "tune.resume_dir": PATH,
}
"""Options that hold text, by the kind of it."""

MAPPINGS = ("data.render.style", "data.render.texts", "data.mixture", "tune.space")
"""Options whose value is, or can be, a mapping with names of the user's own: a new one takes the
place of the old one.
"""

_OVERRIDE = re.compile(r"(?P<sign>\+{0,2})(?P<name>[A-Za-z_][\w./-]*)=(?P<value>.*)", re.DOTALL)
_REFERENCE = re.compile(r"\$\{[\w.:, -]+\}")


class Override(NamedTuple):
    """An override of the command line: what it says of which option or group. value: None for a
    deletion.
    """

    name: str
    value: Any
    sign: str  # '', '+', '++' or '~'


def prepare(arguments: Sequence[str], *, sweep: bool = False) -> list[str]:
    """Return the arguments as Hydra is to get them; what is none of `TEXTS` and `MAPPINGS` stays as
    it is.

    sweep: whether a value such as `a,b` stands for several runs (`--multirun`).
    """
    prepared: list[str] = []
    for argument in arguments:
        argument = present_override(argument, warn_renamed)
        found = _OVERRIDE.fullmatch(argument)
        name = found["name"] if found else ""
        if found and name in MAPPINGS and found["value"].lstrip().startswith("{"):
            prepared += [
                f"{found['sign']}{name}=null",
                f"{found['sign']}{name}={_mapping(found['value'])}",
            ]
        elif found and name in TEXTS:
            prepared.append(f"{found['sign']}{name}={_text(found['value'], TEXTS[name], sweep)}")
        else:
            prepared.append(argument)
    return prepared


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the overrides among a Hydra command's arguments, and the others: flags with their
    values.
    """
    overrides: list[str] = []
    others: list[str] = []
    of_flag = False
    for argument in arguments:
        if argument.startswith("-") or of_flag:
            others.append(argument)
            of_flag = argument in _FLAGS_WITH_VALUE
        else:
            overrides.append(argument)
    return overrides, others


_FLAGS_WITH_VALUE = (
    "--cfg",
    "-c",
    "--package",
    "-p",
    "--config-path",
    "-cp",
    "--config-name",
    "-cn",
    "--config-dir",
    "-cd",
    "--experimental-rerun",
    "--info",
)


def parse(override: str) -> Override:
    """Read an override by Hydra's own parser. Raises `ValueError` for one that is not in its
    grammar.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException as error:
        reason = _first_line(error)
        raise ValueError(
            f"{override}: Hydra cannot read this ({reason}). Put the value in quotes of its own: "
            "'option=\"value\"'"
        ) from error
    signs = {"CHANGE": "", "ADD": "+", "FORCE_ADD": "++", "DEL": "~"}
    return Override(
        parsed.key_or_group, None if parsed.is_delete() else parsed.value(), signs[parsed.type.name]
    )


def _text(value: str, kind: str, sweep: bool) -> str:
    """Return a value that Hydra reads as this text."""
    from hydra.core.override_parser.types import QuotedString

    if value in ("", "null") or _REFERENCE.fullmatch(value):
        return value
    read = _read(value)
    if isinstance(read, QuotedString) or (sweep and _is_sweep(value)):
        return value
    if kind == PATHS and value.startswith("[") and value.endswith("]"):
        parts = (
            read
            if isinstance(read, list)
            else [part.strip() for part in value[1:-1].split(",") if part.strip()]
        )
        texts = [part.text if isinstance(part, QuotedString) else str(part) for part in parts]
        return f"[{','.join(map(_quoted, texts))}]"
    if isinstance(read, str) and (read == value or (kind != LETTERS and "\\" in value)):
        return value
    return _quoted(value.replace("${", "\\${") if kind == LETTERS else value)


def unpack_mappings(config: DictConfig) -> None:
    """Put mappings in the place of their YAML, which `prepare` gives to Hydra where its grammar
    lacks a name.

    They hold plain values: the text may come from a run that somebody else has started.

    Raises:
        ConfigError: for what is not a mapping, or names code or refers to something else.
    """
    import yaml
    from omegaconf import OmegaConf, open_dict

    for name in MAPPINGS:
        value = OmegaConf.select(config, name)
        if not isinstance(value, str) or not value.lstrip().startswith("{"):
            continue
        try:
            content = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(
                f"{name}: {value} is not a mapping {{name: value}}: {_first_line(error)}"
            ) from error
        if not isinstance(content, dict) or not _is_plain(content):
            raise ConfigError(f"{name}: {value} is not a mapping of names to plain values")
        with open_dict(config):
            OmegaConf.update(config, name, content)


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(
            not str(key).startswith("_") and _is_plain(member) for key, member in value.items()
        )
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return (
        value is None
        or isinstance(value, bool | int | float)
        or (isinstance(value, str) and "${" not in value)
    )


def _mapping(value: str) -> str:
    """Return a mapping that Hydra can read, or its YAML as a text; one that is not in its grammar
    is taken for YAML's.
    """
    import yaml

    if _read(value) is not None:
        return value
    try:
        content = yaml.safe_load(value)
    except yaml.YAMLError:
        return value  # Hydra says what is wrong with it
    if not isinstance(content, dict):
        return value
    flow = _flow(content)
    return flow if _unquoted(_read(flow)) == content else _quoted(value.replace("${", "\\${"))


def _flow(content: Any) -> str:
    """Write plain values in Hydra's grammar, with every text quoted."""
    if isinstance(content, dict):
        return "{" + ", ".join(f"{name}: {_flow(value)}" for name, value in content.items()) + "}"
    if isinstance(content, list):
        return "[" + ", ".join(map(_flow, content)) + "]"
    if content is None or isinstance(content, bool):
        return {None: "null", True: "true", False: "false"}[content]
    return _quoted(content) if isinstance(content, str) else str(content)


def _unquoted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unquoted(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_unquoted(member) for member in value]
    return getattr(value, "text", value)


def _read(value: str) -> Any:
    """Return what Hydra's parser makes of a value, texts in quotes as `QuotedString`; None if it
    cannot read it.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(f"value={value}")._value
    except HydraException:
        return None


def _is_sweep(value: str) -> bool:
    from hydra.core.override_parser.types import Sweep

    return isinstance(_read(value), Sweep)


def _quoted(text: str) -> str:
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text, Quote.single).with_quotes()


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]
