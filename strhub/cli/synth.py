"""The same as `python -m strhub.data render`: rendered words to an LMDB folder."""

from __future__ import annotations

import argparse
import sys

from strhub.cli.data_commands import render
from strhub.utils.terminal import printable_lines


def main() -> None:
    """Parse, draw, write; errors are one clear line, Ctrl-C is no traceback."""
    parser = argparse.ArgumentParser(prog="python -m strhub.data.synth", description=__doc__)
    render.add_arguments(parser)
    try:
        render.run(parser.parse_args())
    except (ValueError, OSError) as error:
        sys.exit(f"render: {printable_lines(error)}")
    except KeyboardInterrupt as error:
        sys.exit(f"\nrender: {str(error) or 'stopped'}")


if __name__ == "__main__":
    main()
