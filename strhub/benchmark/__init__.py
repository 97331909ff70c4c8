"""Measure parameters, multiply-adds and time."""
