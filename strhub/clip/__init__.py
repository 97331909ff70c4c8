"""CLIP's released files, its text tokens, and the contrastive objective that it is trained on.

What reading needs of CLIP is the image tower alone, a network like any other
(`strhub.models.layers.clip`). All of this package serves training, and looking into a trained
model.
"""
