"""`export.py`: a model to one ONNX file or archive of `torch.export`, on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strhub.cli.arguments import model_options, split_words
from strhub.cli.entry import end_with
from strhub.cli.extras import needs
from strhub.cli.program import command_parser, program, version_argument
from strhub.utils.progress import progress, working
from strhub.utils.telemetry import import_onnxruntime
from strhub.utils.terminal import printable

if TYPE_CHECKING:
    from strhub.checkpoint.scene_text_model import SceneTextModel

EXAMPLES = """examples:
  ./export.py strhub-tiny words.onnx
  ./export.py outputs/parseq/last.ckpt words.onnx decode_ar:bool=false refine_iters:int=2
  ./export.py pretrained=parseq words.onnx --precision float16
  ./export.py strhub-tiny words.onnx --precision int8-static --calibrate images/of/words
  ./export.py strhub-tiny words.pt2
  ./export.py strhub-small rapidocr.onnx --layout rapidocr
  ./export.py strhub-small words.xml
  ./export.py strhub-small words.mlpackage --width 320
  ./export.py outputs/parseq/last.ckpt words.safetensors --precision float16"""


WEIGHTS = ".safetensors"
OPENVINO = ".xml"
COREML = ".mlpackage"
NO_OPSET = {
    ".pt2": "an archive of torch.export",
    WEIGHTS: "a file of weights",
    OPENVINO: "a model for OpenVINO",
    COREML: "a model for Core ML",
}


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of export.py."""
    parser = command_parser(
        "export",
        "Export a model, decoding included, to ONNX (.onnx), which reads without PyTorch, to an "
        "archive of torch.export (.pt2), to OpenVINO (.xml) or to Core ML (.mlpackage); or write "
        "only its weights "
        "(.safetensors). The suffix of the file chooses the format.",
        EXAMPLES,
    )
    parser.add_argument(
        "words",
        nargs="+",
        metavar="model | file | name:type=value",
        help="id or path of the model, file to write (.onnx, .pt2, .xml, .mlpackage or "
        ".safetensors), and options of decoding, such as refine_iters:int=2",
    )
    parser.add_argument(
        "--precision",
        default="float32",
        metavar="KIND",
        help="float32; float16 or int8-weights: weights of half or a quarter of the size, computed "
        "in float32; int8: computed in 8 bits; int8-static: in 8 bits, calibrated on images",
    )
    parser.add_argument(
        "--calibrate",
        nargs="+",
        default=[],
        metavar="PATH",
        help="images to calibrate int8-static on: files, folders and globs",
    )
    parser.add_argument(
        "--layout",
        default="strhub",
        metavar="LAYOUT",
        help="strhub, or rapidocr: inputs and outputs as RapidOCR expects them (Rec.model_path)",
    )
    parser.add_argument(
        "--opset", type=int, help="version of ONNX's operator set, 17 or higher; by default 20"
    )
    parser.add_argument(
        "--width",
        type=int,
        help="of .mlpackage files of models that read any width: pixels of their images; by "
        "default 320",
    )
    version_argument(parser, "export")
    return parser


def run(arguments: Sequence[str] | None = None) -> str:
    """Export, compare with PyTorch, and say what was written. Raises `ValueError` for what cannot
    be exported.
    """
    parser = build_parser()
    args = parser.parse_intermixed_args(arguments)
    options, files = split_words(args.words)
    misplaced, calibrate = split_words(args.calibrate)  # options may stand behind --calibrate, too
    if len(files) != 2:
        parser.error(f"expected a model and the file to write, not {len(files)} names")
    source, target = files[0], Path(files[1])
    if calibrate and args.precision != "int8-static":
        raise ValueError(
            f"--calibrate is for --precision int8-static: {args.precision} needs no images"
        )
    if args.opset is not None and target.suffix in NO_OPSET:
        raise ValueError(f"--opset is for .onnx files: {NO_OPSET[target.suffix]} has none")
    if args.width is not None and target.suffix != COREML:
        raise ValueError(f"--width is for {COREML} files, not {target}")
    if target.suffix in (WEIGHTS, OPENVINO, COREML) and args.layout != "strhub":
        raise ValueError(f"--layout {args.layout} is for .onnx files, not {target}")
    if target.suffix == WEIGHTS:
        return _write_weights(source, target, args.precision, model_options([*options, *misplaced]))
    with needs("export"):
        onnxruntime = import_onnxruntime()
        from strhub.export import export, largest_difference
        from strhub.export.archive import largest_difference_of_archive
        from strhub.export.writing import DEFAULT_OPSET
    from strhub.checkpoint.zoo import load_from_checkpoint, model_card
    from strhub.images.find import find_images

    model = load_from_checkpoint(source, **model_options([*options, *misplaced]))
    exporting = f"exporting {printable(target.name)}"
    if target.suffix in (OPENVINO, COREML):
        write = _write_openvino if target.suffix == OPENVINO else _write_coreml
        with working(exporting):
            return write(model, target, args, model_card(source))
    opset = DEFAULT_OPSET if args.opset is None else args.opset
    calibration_images = find_images(calibrate)
    with nullcontext() if calibrate else working(exporting):  # else it has a line of its own
        export(
            model,
            target,
            precision=args.precision,
            opset=opset,
            card=model_card(source),
            calibration_images=progress(calibration_images, "images to calibrate on"),
            layout=args.layout,
        )
    size = target.stat().st_size / 2**20
    if target.suffix == ".pt2":
        difference = largest_difference_of_archive(model, target)
        return (
            f"{target}: {size:.1f} MiB, torch.export; logits within {difference:.1e} of the model's"
        )
    line = f"{target}: {size:.1f} MiB, {args.precision}, opset {opset}"
    if args.layout != "strhub":
        return f"{line}, as {args.layout} takes it"
    if args.precision == "float32":  # the others are not meant to give the same numbers
        difference = largest_difference(model, target)
        line += (
            f"; logits within {difference:.1e} of PyTorch's (onnxruntime {onnxruntime.__version__})"
        )
    return line


def _write_openvino(
    model: SceneTextModel, target: Path, args: argparse.Namespace, card: dict[str, Any]
) -> str:
    """Write a model for OpenVINO, and say what was written."""
    precision = args.precision
    from strhub.export.openvino import largest_difference_of_openvino, write_openvino

    write_openvino(model, target, precision=precision, card=card)
    size = (target.stat().st_size + target.with_suffix(".bin").stat().st_size) / 2**20
    line = f"{target} and {target.with_suffix('.bin').name}: {size:.1f} MiB, {precision}"
    if precision == "float32":
        difference = largest_difference_of_openvino(model, target)
        line += f"; logits within {difference:.1e} of PyTorch's"
    return line


def _write_coreml(
    model: SceneTextModel, target: Path, args: argparse.Namespace, card: dict[str, Any]
) -> str:
    """Write a model for Core ML, and say what was written."""
    from strhub.export.coreml import size_for_coreml, write_coreml

    write_coreml(model, target, precision=args.precision, width=args.width, card=card)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) / 2**20
    height, width = size_for_coreml(model, args.width)
    return (
        f"{target}: {size:.1f} MiB, {args.precision}, one image (1, 3, {height}, {width}) at a "
        "time; not compared with PyTorch, which only a Mac can"
    )


def _write_weights(source: str, target: Path, precision: str, options: dict[str, Any]) -> str:
    """Write a model's weights, hyper-parameters and card, and say what was written."""
    if precision not in ("float32", "float16"):
        raise ValueError(f"{target}: weights are written in float32 or float16, not {precision}")
    with needs("torch"):
        import torch

        from strhub.checkpoint.zoo import load_from_checkpoint, model_card, save_model
    model = load_from_checkpoint(source, **options)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_model(
        model,
        target,
        model_card(source),
        torch.float16 if precision == "float16" else torch.float32,
    )
    characters = len(model.hparams["charset_train"])
    return (
        f"{target}: {target.stat().st_size / 2**20:.1f} MiB, {precision}, {characters} characters"
    )


def main() -> None:
    """Run the command; errors are one clear line, Ctrl-C is no traceback."""
    end_with(program("export"), run)


if __name__ == "__main__":
    main()
