"""Figures of documents and of what models show, as functions.

    >>> import hardener
    >>> hardener.figures.channel_gaps(hardener.load_scan("scan")).save("channels.pdf")

Each returns a `Drawn`: `svg()` for a page, `save` for a file.
"""

from hardener.reporting.figures.activations import activation_maps
from hardener.reporting.figures.attention import attention
from hardener.reporting.figures.documents import (
    channel_gaps,
    label_anomalies,
    label_sizes,
    latencies,
    repair_rounds,
    sweep,
)
from hardener.reporting.figures.norms import norm_histograms
from hardener.reporting.figures.pictures import pictures

__all__ = [
    "activation_maps",
    "attention",
    "channel_gaps",
    "label_anomalies",
    "label_sizes",
    "latencies",
    "norm_histograms",
    "pictures",
    "repair_rounds",
    "sweep",
]
