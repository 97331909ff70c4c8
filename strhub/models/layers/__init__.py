"""Layers that several recognizers share."""
