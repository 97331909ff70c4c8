"""Distortions of training images."""
