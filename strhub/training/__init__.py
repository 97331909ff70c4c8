"""Train recognizers: the run, its systems (one loss each), callbacks, optimizers and tuning."""
