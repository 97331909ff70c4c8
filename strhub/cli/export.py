"""`export.py`: a model to one ONNX file, on the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from strhub.cli.arguments import parse_options, split_words
from strhub.cli.extras import needs

EXAMPLES = """examples:
  ./export.py strhub-tiny words.onnx
  ./export.py outputs/parseq/last.ckpt words.onnx decode_ar:bool=false refine_iters:int=2
  ./export.py pretrained=parseq words.onnx --precision float16"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of export.py."""
    parser = argparse.ArgumentParser(
        prog="export.py",
        description="Write a model as one ONNX file, decoding included. strhub.onnx reads it without PyTorch.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words",
        nargs="+",
        metavar="model | file.onnx | name:type=value",
        help="model to export, file to write, and options of decoding, such as refine_iters:int=2",
    )
    parser.add_argument(
        "--precision",
        default="float32",
        metavar="KIND",
        help="float32; float16: half the size, computes in 32 bits; int8: a quarter of the size, computes in 8 bits",
    )
    parser.add_argument("--opset", type=int, help="of ONNX's operators, 17 or more; by default 20")
    return parser


def run(arguments: Sequence[str] | None = None) -> str:
    """Export, compare with PyTorch, and say what was written. Raises `ValueError` for what cannot be exported."""
    parser = build_parser()
    given = parser.parse_intermixed_args(arguments)
    options, files = split_words(given.words)
    if len(files) != 2:
        parser.error(f"a model and the .onnx file to write are needed, not {len(files)} names")
    source, target = files[0], Path(files[1])
    with needs("export"):
        import onnxruntime

        from strhub.export import export, largest_difference
        from strhub.export.writing import DEFAULT_OPSET
    from strhub.zoo import load_from_checkpoint, model_card

    model = load_from_checkpoint(source, **parse_options(options))
    opset = DEFAULT_OPSET if given.opset is None else given.opset
    export(model, target, precision=given.precision, opset=opset, card=model_card(source))
    size = target.stat().st_size / 2**20
    line = f"{target}: {size:.1f} MiB, {given.precision}, opset {opset}"
    if given.precision == "float32":  # the others are not meant to give the same numbers
        difference = largest_difference(model, target)
        line += f"; logits within {difference:.1e} of PyTorch's (onnxruntime {onnxruntime.__version__})"
    return line


def main() -> None:
    """Run the command; errors are one clear line, Ctrl-C is no traceback."""
    try:
        print(run())
    except ValueError as error:
        sys.exit(f"export.py: {error}")
    except KeyboardInterrupt:
        sys.exit("\nexport.py: stopped")
