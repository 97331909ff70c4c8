"""The options of reading are listed once: what takes them takes all, by the same names."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from strhub import Recognizer
from strhub.cli.arguments import read_options
from strhub.cli.read_parser import build_parser
from strhub.inference.options import ReadOptions


def test_the_recognizer_takes_all_of_them_with_the_same_defaults() -> None:
    parameters = inspect.signature(Recognizer).parameters
    apart = {"model", "device", "options"}
    assert set(parameters) - apart == set(ReadOptions.names())
    usual = ReadOptions().keywords()
    del usual["compile"]  # of a command: no; else where it is worth it
    assert {name: parameters[name].default for name in usual} == usual


def test_the_command_line_has_each_and_its_defaults() -> None:
    args = build_parser().parse_args(["--images", "a.png"])
    options = read_options(args, *ReadOptions.names())
    assert options == ReadOptions()
    assert not options.changed()


def test_what_is_given_is_what_changes(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("one\n two \n")
    arguments = ["--images", "a.png", "--no_turning", "--lexicon", str(words), "--threads", "2"]
    options = read_options(build_parser().parse_args(arguments), *ReadOptions.names())
    assert options.changed() == {"turn_tall": False, "lexicon": ["one", "two"], "threads": 2}


def test_options_do_not_change_once_they_are_made() -> None:
    with pytest.raises(AttributeError):
        ReadOptions().threads = 2  # type: ignore[misc]
