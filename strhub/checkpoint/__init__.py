"""Models by name, file or address: the only place that loads and saves checkpoints."""
