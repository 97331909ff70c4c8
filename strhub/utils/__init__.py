"""What every package may use: options, locks, workers. Each is written once, here."""
