"""Commands of `python -m strhub.data`, one module each."""
