"""`strhub-serve`: reading over HTTP."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from strhub.cli.entry import end_with
from strhub.cli.extras import needs
from strhub.cli.program import command_parser, program, version_argument
from strhub.serving.options import KEY_VARIABLE, ServeOptions
from strhub.utils.regular_files import read_regular_text

EXAMPLES = """examples:
  strhub-serve
  strhub-serve strhub-small strhub-tiny mine=outputs/mine/last.ckpt --port 9000
  strhub-serve --host 0.0.0.0 --api_key_file /run/secrets/strhub
  curl -F images=@word.png localhost:8000/read
  curl --data-binary @street.jpg -H 'Content-Type: image/jpeg' localhost:8000/spot"""
_PORT = 8000


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of strhub-serve."""
    parser = command_parser(
        "serve",
        "Read words and photographs over HTTP: POST /read, POST /spot, GET /models, "
        "/healthz, /readyz, /metrics, /openapi.json.",
        EXAMPLES,
    )
    serving_arguments(parser, port=_PORT)
    parser.add_argument(
        "--api_key_file",
        metavar="FILE",
        help="file of API keys, one per line, one of which each request must carry; a single key "
        f"can be set in the environment variable {KEY_VARIABLE} instead",
    )
    parser.add_argument(
        "--cors_origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="origin of web pages that may send requests, such as https://example.org; repeatable; "
        "by default none",
    )
    parser.add_argument(
        "--allow_urls",
        action="store_true",
        help="accept URLs of images in requests; private networks are never contacted",
    )
    version_argument(parser, "serve")
    return parser


def serving_arguments(parser: argparse.ArgumentParser, *, port: int) -> None:
    """Add what the service and the page on top of it have in common. port: by default."""
    parser.add_argument(
        "models",
        nargs="*",
        metavar="model | name=model",
        help="ids or paths of models, optionally named; requests use the first unless they name "
        "another",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0: all interfaces"
    )
    parser.add_argument("--port", type=int, default=port, help="port to listen on")
    parser.add_argument(
        "--device",
        default=None,
        help="cpu, cuda, cuda:1, …; by default the fastest available, but for the embedded models "
        "the CPU",
    )
    group = parser.add_argument_group(
        "limits", "A request beyond a limit is answered with the HTTP status in brackets."
    )
    usual = ServeOptions()
    for one in fields(ServeOptions):
        if "least" in one.metadata:
            default = getattr(usual, one.name)
            group.add_argument(
                f"--{one.name}",
                type=float if isinstance(default, float) else int,
                default=default,
                metavar="N",
                help=one.metadata["help"],
            )


def serving_options(args: argparse.Namespace, **more: Any) -> ServeOptions:
    """Return what was given for `serving_arguments`."""
    if not 0 <= args.port <= 65535:
        raise ValueError(f"--port is {args.port}: it must be a number from 0 to 65535")
    values = {
        one.name: getattr(args, one.name) for one in fields(ServeOptions) if "least" in one.metadata
    }
    if args.models:
        more["models"] = tuple(args.models)
    return ServeOptions(device=args.device, **values, **more)


def run(arguments: Sequence[str] | None = None) -> int:
    """Serve until it is told to end; return the exit status. `ValueError` for bad arguments."""
    args = build_parser().parse_args(arguments)
    options = serving_options(
        args,
        keys=_keys(args.api_key_file),
        cors_origins=tuple(args.cors_origin),
        allow_urls=args.allow_urls,
    )
    with needs("serve"):
        from strhub.serving.app import create_app
        from strhub.serving.logs import set_up
        from strhub.serving.server import listen, run_server
        from strhub.serving.service import Service
    with listen(args.host, args.port) as listening:
        service = Service(options)
        set_up()
        app = create_app(service=service)
        return run_server(app, options, listening, on_stop=service.stop)


def _keys(path: str | None) -> frozenset[str]:
    """Return the keys of the environment and of a file; none: no key is asked for."""
    keys = {os.environ.get(KEY_VARIABLE, "").strip()}
    if path is not None:
        try:
            lines = read_regular_text(Path(path)).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the keys {path} cannot be read: {error}") from error
        found = {line.strip() for line in lines} - {""}
        if not found:  # an empty secret is a mistake, not a service for everybody
            raise ValueError(f"{path} contains no key: write one per line")
        keys |= found
    return frozenset(keys - {""})


def main() -> None:
    """Run the command; errors are one clear line, Ctrl-C is no traceback."""
    end_with(program("serve"), run)


if __name__ == "__main__":
    main()
