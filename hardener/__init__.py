"""hardener: takes backdoors out of ONNX image classifiers before they ship.

    >>> import hardener
    >>> found = hardener.scan("model.onnx", "clean.zip", "scan")
    >>> found.verdict, found.targets
    ('backdoored', (8,))
    >>> hardener.repair("model.onnx", "scan", "clean.zip", "hardened.onnx")

Everything the commands do is one call here: `export`, `scan`, `prune`, `prune_channels`,
`repair`, `bench`, `report`, `inspect` and `demo` write the same files and return the frozen
documents of `hardener.documents`; `markdown` and `sarif` make texts of those, `schema` has their
JSON Schemas, `figures` draws them and what `exhibit` shows of a model.

The house, each room importing only from those above it:

    errors, exit_codes,       what every room uses
    arrays, cores, frozen
    files                     written whole, read with limits
    progress                  who listens to long work
    data/, policy             image sets, preprocessing, rendered signs; harden.toml
    triggers/                 families of triggers: stamp, size, file, picture, stronger
    documents/                frozen results, JSON in and out, JSON Schemas
    model/                    an ONNX file: load, understand, cut, rewrite, run, differentiate
    measuring/                accuracy, attack success rate, robust accuracy, intervals
    subject                   a model, images and how to run it, opened once
    scanning/                 detectors and what they search; findings, one verdict, the scan
    writing                   a hardened model and its JSON go to disk
    pruning/                  criteria, threshold sweep, choice
    repairing/                new weights in the same graph: solve, distil, search again, choose
    benching/                 models side by side, latency
    reporting/                documents as a page with figures, Markdown, SARIF and sentences
    demonstration             the bundled example
    cli/                      the commands, one a file: options, what people see, what comes next
    entry                     where the script begins

`models/` (reference victims) and `benchmarks/` use this package; nothing here imports them.
"""

import importlib
import os
from typing import TYPE_CHECKING

from hardener.errors import (
    DataError,
    HardenError,
    InconclusiveError,
    ModelError,
    ProviderError,
    UsageError,
)

# onnxruntime decides when it is first imported; by default it sends what models run to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from hardener.benching.bench import bench
    from hardener.demonstration import demo
    from hardener.documents.schemas.shipped import schema
    from hardener.model.classifier import open_model
    from hardener.model.exporting import export
    from hardener.model.inspecting import inspect
    from hardener.pruning.named import prune_channels
    from hardener.pruning.prune import prune
    from hardener.repairing.repair import repair
    from hardener.reporting import figures
    from hardener.reporting.markdown import markdown
    from hardener.reporting.model_views import exhibit
    from hardener.reporting.page import report
    from hardener.reporting.sarif import sarif
    from hardener.scanning.saved import load_scan, open_scan
    from hardener.scanning.scan import scan
    from hardener.triggers.patch import Trigger, load_trigger, save_trigger

__all__ = [
    "DataError",
    "HardenError",
    "InconclusiveError",
    "ModelError",
    "ProviderError",
    "Trigger",
    "UsageError",
    "bench",
    "demo",
    "exhibit",
    "export",
    "figures",
    "inspect",
    "load_scan",
    "load_trigger",
    "markdown",
    "open_model",
    "open_scan",
    "prune",
    "prune_channels",
    "repair",
    "report",
    "sarif",
    "save_trigger",
    "scan",
    "schema",
]

_HOMES = {
    "Trigger": "hardener.triggers.patch",
    "bench": "hardener.benching.bench",
    "demo": "hardener.demonstration",
    "exhibit": "hardener.reporting.model_views",
    "export": "hardener.model.exporting",
    "figures": "hardener.reporting.figures",
    "inspect": "hardener.model.inspecting",
    "load_scan": "hardener.scanning.saved",
    "load_trigger": "hardener.triggers.patch",
    "markdown": "hardener.reporting.markdown",
    "open_model": "hardener.model.classifier",
    "open_scan": "hardener.scanning.saved",
    "prune": "hardener.pruning.prune",
    "prune_channels": "hardener.pruning.named",
    "repair": "hardener.repairing.repair",
    "report": "hardener.reporting.page",
    "sarif": "hardener.reporting.sarif",
    "save_trigger": "hardener.triggers.patch",
    "scan": "hardener.scanning.scan",
    "schema": "hardener.documents.schemas.shipped",
}

_WHOLE = frozenset({"figures"})
"""Public names that are modules."""


def __dir__() -> list[str]:
    """Shows the public names although they are imported late."""
    return sorted(__all__)


def __getattr__(name: str) -> object:
    """Imports torch and onnxruntime only when something that needs them is used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hardener' has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name])
    return home if name in _WHOLE else getattr(home, name)
