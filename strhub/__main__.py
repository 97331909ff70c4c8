"""`python -m strhub` lists the commands; `python -m strhub read …` runs one."""

from __future__ import annotations

import runpy
import sys

import strhub
from strhub.cli.entry import begin, end_with, terminable
from strhub.cli.interrupted import Terminated, end_interrupted, end_terminated
from strhub.utils.options import unknown_name_message

COMMANDS = {
    "read": "read the word in each image, or whole photographs",
    "test": "score a model on benchmarks or on your own images",
    "train": "train or fine-tune a model",
    "tune": "search for the best learning rate and other options",
    "bench": "measure parameters, multiply-adds and latency",
    "export": "export a model to ONNX, torch.export, OpenVINO or safetensors",
    "explain": "show what a model attends to, or retrieve words for an image",
    "serve": "serve readings over HTTP",
    "demo": "start a web page that reads images dropped on it",
    "data": "make, convert, inspect, filter, merge, split, shard and render data sets",
    "model": "make a model by a recipe, label, average, calibrate, measure and plot",
}


def listing() -> str:
    """Return usage and what each command does."""
    lines = [f"  {name:<9}{purpose}" for name, purpose in COMMANDS.items()]
    usage = "usage: python -m strhub <command> [arguments], or strhub-<command> [arguments]"
    return "\n".join(
        [
            usage,
            "",
            *lines,
            "",
            "--help after a command shows its arguments, --version its version.",
        ]
    )


def main() -> None:
    """Run the command that is named first, as if it had been started by itself."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        end_with("strhub", listing)
    elif name == "--version":
        end_with("strhub", lambda: f"strhub {strhub.__version__}")
    elif name not in COMMANDS:
        sys.exit(f"strhub: {unknown_name_message(name, COMMANDS, 'command')}")
    else:
        del sys.argv[1]
        begin(name)
        try:
            with terminable():
                runpy.run_module(f"strhub.cli.{name}", run_name="__main__", alter_sys=True)
        except KeyboardInterrupt:  # such as while packages are imported
            end_interrupted(f"strhub {name}")
        except Terminated:
            end_terminated(f"strhub {name}")


if __name__ == "__main__":
    main()
