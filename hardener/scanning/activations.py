"""ℓ1, ℓ2 and ℓ∞ norms of every channel of the feature layer, one row an image.

The norms are reduced inside the ONNX graph, so that only (N, C) arrays leave the runtime.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import FloatArray, IntArray
from hardener.data.images import ImageSource
from hardener.data.settings import Setting
from hardener.model.classifier import Classifier
from hardener.model.runtime import Runner
from hardener.model.surgery import opset_of, spatial_reduction
from hardener.model.topology import FeatureLayer, typed_activation


@dataclass(frozen=True, eq=False)
class ChannelNorms:
    """Norms of the feature layer's channels over a set of images.

    Attributes:
        l1: (N, C) sums of absolute activations.
        l2: (N, C) Euclidean norms.
        linf: (N, C) peaks of absolute activations.
    """

    l1: FloatArray
    l2: FloatArray
    linf: FloatArray


def norms_graph(proto: onnx.ModelProto, layer: FeatureLayer) -> onnx.ModelProto:
    """The trunk with three outputs `l1`, `l2`, `linf`, each (N, C), instead of its feature map."""
    graph = gs.import_onnx(proto)
    feature = typed_activation(graph, layer)
    absolute = gs.Variable("hardener_abs", dtype=feature.dtype)
    outputs = [gs.Variable(name, feature.dtype, ["N", layer.channels]) for name in _NORMS]
    opset = opset_of(proto)
    graph.nodes.append(gs.Node("Abs", "hardener_abs", inputs=[feature], outputs=[absolute]))
    for output, (name, op) in zip(outputs, _NORMS.items(), strict=True):
        source = absolute if name == "linf" else feature
        graph.nodes.append(spatial_reduction(op, source, output, opset, f"hardener_{name}"))
    graph.outputs = outputs
    return gs.export_onnx(graph.cleanup(), do_type_check=False)


def channel_norms(
    classifier: Classifier,
    runner: Runner,
    source: ImageSource,
    settings: Mapping[str, Setting],
    *,
    indices: IntArray | None = None,
    on_batch: Callable[[int], None] = lambda _: None,
) -> dict[str, ChannelNorms]:
    """Measures every setting in one pass over the images.

    Memory grows with the number of images by 12 bytes a channel and setting: the norms are
    the result.

    Args:
        classifier: the model.
        runner: a session of `norms_graph`.
        source: the images.
        settings: name to triggers that are stamped in order; no triggers for clean images.
        indices: positions to measure; all if None.
        on_batch: told the number of images of each finished batch.

    Returns:
        Norms under each setting's name, rows in the order of the images.
    """
    rows: dict[str, list[list[FloatArray]]] = {name: [] for name in settings}
    for batch in classifier.batches(source, indices):
        for name, setting in settings.items():
            rows[name].append(runner.run(classifier.feeds(batch.images, setting)))
        on_batch(len(batch.labels))
    return {
        name: ChannelNorms(*(np.concatenate(parts) for parts in zip(*collected, strict=True)))
        for name, collected in rows.items()
    }


_NORMS = {"l1": "ReduceL1", "l2": "ReduceL2", "linf": "ReduceMax"}
