"""Look into a trained model: attention maps, retrieval of words."""
