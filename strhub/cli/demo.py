"""`strhub-demo`: a page that reads what one drops on it, on top of the service."""

from __future__ import annotations

import argparse
import threading
import webbrowser
from collections.abc import Sequence

from strhub.cli.entry import end_with
from strhub.cli.extras import needs
from strhub.cli.program import command_parser, program, version_argument
from strhub.cli.serve import serving_arguments, serving_options

EXAMPLES = """examples:
  strhub-demo
  strhub-demo strhub-small strhub-tiny mine=outputs/mine/last.ckpt --open"""
_PORT = 7860
_MODELS = ("strhub-small", "strhub-tiny")


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of strhub-demo."""
    parser = command_parser(
        "demo",
        "Start a web page that reads words and photographs that are dropped on it, pasted or taken "
        "with the camera. It needs no network.",
        EXAMPLES,
    )
    serving_arguments(parser, port=_PORT)
    parser.add_argument("--open", action="store_true", help="open the page in the default browser")
    version_argument(parser, "demo")
    return parser


def run(arguments: Sequence[str] | None = None) -> int:
    """Serve the page until it is told to end; return the exit status. `ValueError` for bad
    arguments.
    """
    args = build_parser().parse_args(arguments)
    args.models = args.models or list(_MODELS)
    options = serving_options(args)
    with needs("demo"):
        from strhub.serving.app import create_app
        from strhub.serving.server import listen, run_server
        from strhub.serving.service import Service
    with listen(args.host, args.port) as listening:
        service = Service(options)
        app = create_app(service=service, page=True)
        host = "localhost" if args.host in ("127.0.0.1", "0.0.0.0", "::") else args.host
        address = f"http://{host}:{listening.getsockname()[1]}/"
        print(f"Open {address} in a browser; Ctrl-C ends it.", flush=True)
        if args.open:
            opening = threading.Timer(1, webbrowser.open, [address])
            opening.daemon = True
            opening.start()
        return run_server(app, options, listening, on_stop=service.stop)


def main() -> None:
    """Run the command; errors are one clear line, Ctrl-C is no traceback."""
    end_with(program("demo"), run)


if __name__ == "__main__":
    main()
