#!/usr/bin/env python3
"""Turn PP-OCRv6's small recognizer into a model of ours, in a .safetensors file.

pip download --no-deps rapidocr && unzip rapidocr-*.whl -d rapidocr
tools/convert_ppocr.py rapidocr/rapidocr/models/PP-OCRv6_rec_small.onnx ppocrv6-small.safetensors

It reads the printable ASCII characters and the space, or with --all all 18,709 that the published
one knows.
"""

import argparse
from pathlib import Path

import torch

from strhub.checkpoint.ppocr import choose_characters, read_published
from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.checkpoint.zoo import save
from strhub.text import CHARSET_36, CHARSET_94

SOURCE = (
    "PP-OCRv6_rec_small of PaddleOCR (https://github.com/PaddlePaddle/PaddleOCR), from the "
    "rapidocr wheel"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("published", type=Path, help="the .onnx file")
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    parser.add_argument("--all", action="store_true", help="keep all of its characters")
    parser.add_argument("--precision", choices=["float32", "float16"], default="float16")
    args = parser.parse_args()
    published = read_published(args.published)
    charset = published.characters if args.all else f"{CHARSET_94} "
    model = SceneTextModel(
        {
            "name": args.out.stem,
            "architecture": "light_ctc",
            "charset_train": charset,
            "charset_test": None if args.all else CHARSET_36,
            "img_size": [48, 1600],
            "keep_aspect": True,
            "max_label_length": 100,
            "normalize": "default",
            "reread_below": 0.7,
        }
    )
    model.model.load_state_dict(choose_characters(published, charset))
    save(
        model,
        args.out,
        provenance={"weights": SOURCE},
        licence="Apache-2.0",
        dtype=getattr(torch, args.precision),
    )
    print(f"{args.out}: {args.out.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
