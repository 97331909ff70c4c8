"""LightningModules, one for each loss; the network of each is in `strhub.models`."""
