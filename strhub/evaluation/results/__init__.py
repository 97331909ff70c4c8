"""Results of an evaluation as typed objects: samples, scores with intervals, and their files."""

from strhub.evaluation.results.intervals import Interval
from strhub.evaluation.results.sample import Edit, Sample
from strhub.evaluation.results.summary import Bin, SetResult, SliceResult, Summary

__all__ = ["Bin", "Edit", "Interval", "Sample", "SetResult", "SliceResult", "Summary"]
