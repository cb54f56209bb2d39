"""Accuracy without labels: one estimator a file; ``outfield.guard.accuracy`` puts them to use."""
