"""Models side by side: quality with intervals, latency interleaved."""
