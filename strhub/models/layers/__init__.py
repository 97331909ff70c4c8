"""Layers that several recognisers share."""
