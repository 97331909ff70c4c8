"""A command that Hydra configures: its help, its command line and how its mistakes are told.

Nothing that needs an extra is imported before the help has been printed.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

from strhub.cli.entry import end_with
from strhub.cli.extras import needs
from strhub.cli.overrides import prepare, split, unpack_mappings
from strhub.cli.program import examples, program, typed, version_line
from strhub.cli.stored_run import with_stored
from strhub.configs import CONFIG_DIR
from strhub.utils.options import unknown_option_message
from strhub.utils.terminal import printable_lines

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = ["help_text", "read_charsets", "run_with_hydra"]

_FULL_ERROR = "HYDRA_FULL_ERROR"
_SEARCH_PATH = re.compile(r"\s*Config search path:.*", re.DOTALL)
_NO_GROUPS = ("style", "__pycache__")  # read as they are, not composed
_USAGE = """usage: {program} [group=choice ...] [option=value ...] [--flag ...]

{purpose}

flags:
  -h, --help          show this help message and exit
  --cfg job           print the composed configuration and exit;
                      with --package GROUP, print only that group
  --config-dir DIR    folder of further choices, such as DIR/experiment/mine.yaml
  --multirun          run once for each of several values, as in model.lr=1e-3,2e-3
  --hydra-help        show Hydra's own flags and exit
  --version           print the version and exit

groups and their choices (experiment and hardware need a plus: +experiment=<choice>):
{groups}

options and their defaults; set any of them as group.option=value, such as trainer.max_epochs=5:
"""


def run_with_hydra(
    command: str,
    config_name: str,
    purpose: str,
    task: Callable[[DictConfig], None],
    arguments: Sequence[str],
) -> None:
    """Compose the configuration that the arguments ask for and hand it to `task`.

    Mistakes in the arguments end the program with one line and status 1; with HYDRA_FULL_ERROR=1 in
    the environment they are Hydra's own errors.
    """
    if {"--help", "-h"} & {*arguments}:
        end_with(program(command), lambda: help_text(command, config_name, purpose))
    if "--version" in arguments:
        end_with(program(command), lambda: version_line(command))
    with needs(command if command in ("tune", "bench") else "train"):
        import hydra
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

    try:
        prepared = prepare(arguments, sweep=bool({"-m", "--multirun"} & {*arguments}))
        sys.argv[1:] = with_stored(prepared) if command == "train" else prepared
    except ValueError as error:
        sys.exit(f"{program(command)}: {error}")
    own = os.environ.setdefault(_FULL_ERROR, "0") != "1"

    @wraps(task)
    def called(config: DictConfig) -> None:
        if own:  # other errors are printed by Hydra
            os.environ[_FULL_ERROR] = "0"
        with _errors_as_one_line(command):
            unpack_mappings(config)
            read_charsets(config)
        task(config)

    if own:
        os.environ[_FULL_ERROR] = "1"  # Hydra raises instead of printing
    try:
        hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=config_name)(
            called
        )()
    except (HydraException, OmegaConfBaseException) as error:
        if not own:
            raise
        sys.exit(
            f"{program(command)}: {printable_lines(explained(error, config_name, sys.argv[1:]))}"
        )
    except OSError as error:  # such as a folder for the run that cannot be made
        if not own:
            raise
        sys.exit(
            f"{program(command)}: {printable_lines(error)}. hydra.run.dir=… names another folder "
            "for what is written"
        )


def read_charsets(config: DictConfig) -> None:
    """Put the charset in the place of each `@path`, those of the model first, which data takes."""
    for group in (config.get("model"), config.get("data")):
        names = ("charset_train", "charset_test")
        if group and any(str(group.get(name)).startswith("@") for name in names):
            from strhub.data.curation.charsets import expand_charsets

            expand_charsets(group)


@contextmanager
def _errors_as_one_line(command: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        sys.exit(f"{program(command)}: {printable_lines(error)}")


def explained(error: BaseException, config_name: str, arguments: Sequence[str]) -> str:
    """Return one line about a mistake in the arguments; a misspelled option gets the nearest known
    one.
    """
    from hydra.errors import OverrideParseException

    text = str(error)
    if text.startswith("Could not override '"):
        name = text.split("'")[1]
        group, _, option = name.rpartition(".")
        known = _known(config_name, group, arguments)
        if known:
            where = f"the group {group!r}" if group else "the configuration"
            return (
                f"{name}: {unknown_option_message(option, known, where)}. To add it all the same: "
                f"+{name}=…"
            )
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override}: Hydra cannot read this. Put the value in quotes of its own: "
            "'option=\"value\"'"
        )
    cause = str(error.__cause__).splitlines()[:1] if error.__cause__ is not None else []
    message = " ".join([_SEARCH_PATH.sub("", text), *cause])
    return " ".join(message.replace("\\'", '"').split())


def _known(config_name: str, group: str, arguments: Sequence[str]) -> list[str]:
    """Return the options of a group, with what the arguments choose; none if that cannot be
    told.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import DictConfig, OmegaConf

    choices = [one for one in split(arguments)[0] if "." not in one.partition("=")[0]]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            config = compose(config_name, overrides=choices)
    except Exception:  # the arguments have another mistake, too
        return []
    node: Any = OmegaConf.select(config, group) if group else config
    return (
        [str(name) for name in node if not str(name).startswith("_")]
        if isinstance(node, DictConfig)
        else []
    )


def help_text(command: str, config_name: str, purpose: str) -> str:
    """Return usage, groups and every option with its default and what it means."""
    folders = sorted(
        path for path in CONFIG_DIR.iterdir() if path.is_dir() and path.name not in _NO_GROUPS
    )
    groups = [
        f"  {folder.name}: {', '.join(sorted(file.stem for file in folder.glob('*.yaml')))}"
        for folder in folders
    ]
    usage = _USAGE.format(program=typed(command), purpose=purpose, groups="\n".join(groups))
    files = dict.fromkeys([config_name, "main"])
    texts = [(CONFIG_DIR / f"{file}.yaml").read_text("utf-8").rstrip() for file in files]
    return examples("\n\n".join([usage.rstrip(), *texts]))
