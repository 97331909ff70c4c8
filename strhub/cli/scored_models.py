"""Models as readers of an evaluation: what they are, told so that they can be had again, and where
they look.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strhub.cli.extras import needs

if TYPE_CHECKING:
    from PIL import Image

    from strhub.evaluation.report.content import Maps
    from strhub.inference.engine import NetworkEngine

__all__ = ["network", "recognizer"]

ON_CPU = 32  # images at a time: more are read no faster there, and end later when stopped


def recognizer(
    args: argparse.Namespace, source: str, name: str, options: Mapping[str, Any]
) -> tuple[Any, str, Maps | None]:
    """Return a `Recognizer` as a reader, the charset that it knows, and what draws where it read
    characters.
    """
    from strhub.evaluation.readers import RecognizerReader
    from strhub.inference.recognizer import Recognizer

    speed = {
        "precision": args.precision,
        "compile": args.compile,
        "threads": args.threads,
        "device": args.device,
    }
    reader = Recognizer(source, batch_size=min(args.batch_size, ON_CPU), **speed, **options)
    engine = reader.network
    if engine.device_name != "cpu":
        reader.batch_size = args.batch_size
    shown = {
        key: value
        for key, value in options.items()
        if value not in (None, 0.0) and key != "lexicon"
    }
    facts = {
        "name": name,
        "kind": "recognizer",
        **_file(source),
        "precision": engine.precision,
        "device": engine.device_name,
        "reread_below": reader.reread_below,
        "options": ", ".join(f"{key}={value}" for key, value in shown.items()),
        **({"lexicon": f"{len(options['lexicon'])} words"} if options.get("lexicon") else {}),
    }
    return RecognizerReader(reader, facts), engine.tokenizer.charset, _maps(engine)


def network(
    args: argparse.Namespace, source: str, name: str, options: Mapping[str, Any]
) -> tuple[Any, str, Maps | None]:
    """Return a bare network as a reader, the charset that it knows, and what draws where it read
    characters.
    """
    with needs("torch"):
        from strhub.checkpoint.zoo import load_from_checkpoint
        from strhub.inference.torch_engine import TorchEngine

    model = load_from_checkpoint(source, **options)  # before what takes seconds to import
    with needs("eval"):
        from strhub.data.module import SceneTextDataModule
    from strhub.evaluation.readers import NetworkReader
    from strhub.images.options import image_options

    speed = {
        "precision": args.precision,
        "compile": args.compile,
        "threads": args.threads,
        "device": args.device,
    }
    engine = TorchEngine(model, **speed)
    images = image_options(model.hparams)
    transform = SceneTextDataModule.get_transform(rotation=args.rotation, **images)
    facts = {
        "name": name,
        "kind": "bare network",
        **_file(source),
        "precision": engine.precision,
        "device": str(engine.device),
        "options": ", ".join(f"{key}={value}" for key, value in options.items()),
    }
    reader = NetworkReader(engine.model, facts, transform, args.batch_size, engine.device)
    return reader, model.hparams.charset_train, _maps(engine)


def _file(source: str) -> dict[str, str]:
    """Return the file that a model was read from, and its hash."""
    from strhub.evaluation.results.provenance import file_hash
    from strhub.inference.recognizer import EMBEDDED_MODELS, embedded_graph

    if source in EMBEDDED_MODELS:
        path = embedded_graph(source).with_suffix(".safetensors")
    elif Path(source).is_file():
        path = Path(source)
    else:
        from strhub.checkpoint.zoo import locate

        path = locate(source)
    return {"file": str(path), "sha256": file_hash(path)}


def _maps(engine: NetworkEngine) -> Maps | None:
    """Return what draws where characters were read: attention of a PARSeq, columns of a CTC
    network; else none.
    """
    if engine.reads_columns:
        return _columns(engine)
    model = engine.model
    if model is None or model.hparams["architecture"] != "parseq":
        return None
    from strhub.explain.attention import attend, draw

    def attention(image: Image.Image) -> Image.Image | None:
        (found,) = attend(model, [image], engine.device_name)
        return None if found.original is None else draw(found)

    return attention


def _columns(engine: NetworkEngine) -> Maps:
    from strhub.explain.columns import draw_columns

    return lambda image: draw_columns(image, *engine.locate(image))
