"""`python -m strhub.data.synth`, the same as `strhub-data render`."""

from importlib import import_module

if __name__ == "__main__":
    import_module("strhub.cli.synth").main()
