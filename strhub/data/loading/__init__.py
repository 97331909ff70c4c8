"""From words to batches: seeded order, workers that restart, batches of like widths."""
