#!/usr/bin/env python3
"""Turn a training checkpoint into the weights that come with the package, or any checkpoint into
safetensors.

Besides PARSeq's weights, it writes the graph by which ONNX Runtime reads with them; without a
checkpoint, only that graph.

tools/embed_weights.py outputs/embedded/checkpoints/last.ckpt --card '{"data": "rendered words"}'
"""

import argparse
import json
from pathlib import Path

import torch

from strhub.checkpoint.zoo import EMBEDDED, load_from_checkpoint, locate, save_model
from strhub.export import export_beside


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", nargs="?")
    parser.add_argument(
        "--out", type=Path, default=locate(EMBEDDED), help="file to write; by default the package's"
    )
    parser.add_argument(
        "--card", type=json.loads, default={}, help="JSON object kept in the file's metadata"
    )
    parser.add_argument(
        "--precision", choices=["float32", "float16", "bfloat16"], default="float16"
    )
    args = parser.parse_args()
    if args.checkpoint:
        save_model(
            load_from_checkpoint(args.checkpoint),
            args.out,
            args.card,
            getattr(torch, args.precision),
        )
        print(f"{args.out}: {args.out.stat().st_size / 2**20:.1f} MiB")
    try:
        graph = export_beside(args.out)
    except ValueError as error:
        print(f"no graph for ONNX Runtime: {error}")
    else:
        print(f"{graph}: {graph.stat().st_size / 2**10:.0f} KiB, points at {args.out.name}")


if __name__ == "__main__":
    main()
