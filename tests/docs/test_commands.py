"""No command in the documents rots: each is known to a table here, is parsed or composed, and is
run (slow).
"""

import argparse
import json
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
from attack_support import run_limited
from commands_table import TABLE
from documents import ROOT, Command, all_commands
from hydra import compose, initialize_config_dir

from strhub.cli.overrides import prepare, split
from strhub.configs import CONFIG_DIR

COMMANDS = {command.text: command for command in all_commands()}
CONFIGS = {"train": "main", "bench": "bench", "tune": "tune"}


def check_program(name: str, words: list[str]) -> None:
    """Raise unless the program understands these words."""
    if name in CONFIGS:
        overrides, flags = split(prepare(words))
        folder = flags[1] if flags[:1] == ["--config-dir"] else None
        if folder is not None:
            overrides = [override for override in overrides if override != "+experiment=best"]
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            compose(CONFIGS[name], overrides=[*overrides, "output_dir=here"])
    elif name in ("data", "model"):
        assert words[0] in import_module(f"strhub.cli.{name}").COMMANDS
        parser = argparse.ArgumentParser()
        import_module(f"strhub.cli.{name}_commands.{words[0]}").add_arguments(parser)
        (parser.parse_intermixed_args if name == "model" else parser.parse_args)(words[1:])
    else:
        parser = import_module(f"strhub.cli.{name}").build_parser()
        parse = parser.parse_args if name == "explain" else parser.parse_intermixed_args
        parse(words)


def check(command: Command) -> None:
    """Raise unless what is called is there and understands its words."""
    first, *words = command.words
    if first == "make":
        targets = re.findall(r"^([\w%-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert all(
            word in targets or f"{word.partition('-')[0]}-%" in targets
            for word in words
            if "=" not in word
        )
    elif first == "pip":
        known = re.findall(
            r"^([a-z]+) = \[", (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE
        )
        assert {
            one for names in re.findall(r"\[([\w,]+)\]", command.text) for one in names.split(",")
        } <= {*known}
    elif first == "torchrun":
        check_program("train", words[words.index("train.py") + 1 :])
    elif first == "sbatch":
        assert (ROOT / words[0]).is_file()
        check_program("train", words[1:])
    elif first == "python" or first.startswith("tools/"):
        assert (ROOT / (words[0] if first == "python" else first)).is_file()
    else:
        check_program(re.sub(r"^\./|\.py$|^strhub-", "", first), words)


def test_the_table_has_every_command_and_no_other() -> None:
    unknown = [
        f"{one.document}:{one.line}: {text}" for text, one in COMMANDS.items() if text not in TABLE
    ]
    assert unknown == [], "a new command needs a line in tests/docs/commands_table.py"
    assert [text for text in TABLE if text not in COMMANDS] == [], "it is in no document any more"


@pytest.mark.parametrize("text", sorted(COMMANDS))
def test_it_is_understood(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    elsewhere = TABLE[text].elsewhere if text in TABLE else ""
    if elsewhere:
        assert (ROOT / elsewhere).is_file()
    else:
        check(COMMANDS[text])


def shortened(text: str) -> list[str]:
    """Return the words of a command as it is run here."""
    run = TABLE[text]
    replaced = dict(run.instead)
    return [*(replaced.get(word, word) for word in COMMANDS[text].words), *run.add.split()]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_runs(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="exporting is an extra: pip install strhub[export]")
    texts = [text for text, run in TABLE.items() if not run.only_parsed and not run.elsewhere]
    (tmp_path / "commands.json").write_text(
        json.dumps([shortened(text) for text in texts]), "utf-8"
    )
    script = Path(__file__).with_name("run_commands.py")
    outcome = run_limited([sys.executable, script, tmp_path], memory_mib=8000, seconds=1700)
    lines = (tmp_path / "results.jsonl").read_text("utf-8").splitlines()
    results = [json.loads(line) for line in lines]
    assert [result for result in results if result["status"]] == [], outcome.stderr[-2000:]
    assert len(results) == len(texts), outcome
