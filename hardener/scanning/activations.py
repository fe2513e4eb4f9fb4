"""ℓ1, ℓ2 and ℓ∞ norms of every channel of the feature layer, one row an image.

The norms are reduced inside the ONNX graph, so that only (N, C) arrays leave the runtime.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import FloatArray
from hardener.data.images import ImageSource
from hardener.errors import InconclusiveError
from hardener.measuring.quality import Counts, Probe, count
from hardener.model.classifier import Classifier
from hardener.model.runtime import open_runner
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


@dataclass(frozen=True, eq=False)
class Profile:
    """What one probe shows.

    Attributes:
        norms: of the feature layer, rows in the order of the images.
        counts: right answers and hits.
    """

    norms: ChannelNorms
    counts: Counts


def norms_graph(proto: onnx.ModelProto, layer: FeatureLayer, *beside: str) -> onnx.ModelProto:
    """A model that gives the feature layer's norms `l1`, `l2`, `linf`, each (N, C).

    Args:
        proto: the model.
        layer: its feature layer.
        beside: tensors of the model that are given too, before the norms.
    """
    graph = gs.import_onnx(proto)
    tensors = graph.tensors()
    feature = typed_activation(graph, layer)
    absolute = gs.Variable("hardener_abs", dtype=feature.dtype)
    norms = [gs.Variable(name, feature.dtype, ["N", layer.channels]) for name in _NORMS]
    opset = opset_of(proto)
    graph.nodes.append(gs.Node("Abs", "hardener_abs", inputs=[feature], outputs=[absolute]))
    for output, (name, op) in zip(norms, _NORMS.items(), strict=True):
        source = absolute if name == "linf" else feature
        graph.nodes.append(spatial_reduction(op, source, output, opset, f"hardener_{name}"))
    graph.outputs = [*(tensors[name] for name in beside), *norms]
    return gs.export_onnx(graph.cleanup(), do_type_check=False)


def profile(
    classifier: Classifier,
    layer: FeatureLayer,
    source: ImageSource,
    probes: Mapping[str, Probe],
    *,
    provider: str,
    on_batch: Callable[[int], None] = lambda _: None,
) -> dict[str, Profile]:
    """Measures norms and answers under every probe, in one pass over the images.

    Memory grows with the number of images by 12 bytes a channel and probe: the norms are the
    result.

    Args:
        classifier: the model.
        layer: its feature layer.
        source: the images.
        probes: what to stamp and which label to count as a hit, by name.
        provider: what runs it.
        on_batch: told the number of images of each finished batch.

    Returns:
        Profiles by the probes' names.

    Raises:
        InconclusiveError: an activation or a logit is not finite.
    """
    graph = norms_graph(classifier.proto, layer, classifier.signature.output)
    runner = open_runner(graph, provider)
    rows: dict[str, list[ChannelNorms]] = {name: [] for name in probes}
    totals = dict.fromkeys(probes, Counts())
    for batch in classifier.batches(source):
        for name, probe in probes.items():
            scores, *norms = runner.run(classifier.feeds(batch.images, probe.setting))
            classifier.require_class_scores(scores, len(batch.labels))
            if not all(np.isfinite(values).all() for values in norms):
                raise InconclusiveError(
                    f"the feature layer {layer.name!r} holds values that are not finite: nothing "
                    "can be said"
                )
            rows[name].append(ChannelNorms(*norms))
            totals[name] += count(scores, batch.labels, probe.target)
        on_batch(len(batch.labels))
    return {name: Profile(joined(rows[name]), totals[name]) for name in probes}


def joined(parts: Sequence[ChannelNorms]) -> ChannelNorms:
    """Norms of several batches as one."""
    return ChannelNorms(
        np.concatenate([part.l1 for part in parts]),
        np.concatenate([part.l2 for part in parts]),
        np.concatenate([part.linf for part in parts]),
    )


_NORMS = {"l1": "ReduceL1", "l2": "ReduceL2", "linf": "ReduceMax"}
