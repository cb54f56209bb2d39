"""A detector in production: thresholds that keep a promise, verdicts on batches, and a watch over the stream."""
