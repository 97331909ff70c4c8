"""Commands of strhub-model, one module each."""
