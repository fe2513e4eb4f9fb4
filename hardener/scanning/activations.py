"""ℓ1, ℓ2 and ℓ∞ norms of every channel of the feature layer, summed up over many images.

The norms of an image are reduced inside the ONNX graph, so that only (N, C) arrays leave the
runtime; of those only maximum and sum over the images are kept, so that memory does not depend
on how many images there are.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import DoubleArray, FloatArray
from hardener.data.images import ImageSource
from hardener.errors import InconclusiveError
from hardener.measuring.quality import Counts, Probe, count
from hardener.model.bfloat16 import in_float32
from hardener.model.classifier import Classifier
from hardener.model.element_types import element_types
from hardener.model.runtime import Machine, open_runner
from hardener.model.surgery import as_float32, opset_of, peak_nodes, reduction
from hardener.model.topology import FeatureLayer


@dataclass(frozen=True, eq=False)
class OverImages:
    """One norm of every channel, summed up over images.

    Attributes:
        max: (C,) largest value of any image.
        sum: (C,) sum over the images.
        count: how many images.
    """

    max: FloatArray
    sum: DoubleArray
    count: int

    @property
    def mean(self) -> DoubleArray:
        """(C,) mean over the images."""
        return self.sum / self.count

    @classmethod
    def of(cls, rows: FloatArray) -> "OverImages":
        """Sums up norms (N, C), one row an image."""
        return cls(rows.max(axis=0), rows.sum(axis=0, dtype=np.float64), len(rows))

    def __add__(self, more: "OverImages") -> "OverImages":
        return OverImages(
            np.maximum(self.max, more.max), self.sum + more.sum, self.count + more.count
        )


@dataclass(frozen=True, eq=False)
class ChannelNorms:
    """Norms of the feature layer's channels over a set of images.

    Attributes:
        l1: sums of absolute activations.
        l2: Euclidean norms.
        linf: peaks of absolute activations.
    """

    l1: OverImages
    l2: OverImages
    linf: OverImages

    @classmethod
    def of(cls, l1: FloatArray, l2: FloatArray, linf: FloatArray) -> "ChannelNorms":
        """Sums up norms (N, C), one row an image."""
        return cls(OverImages.of(l1), OverImages.of(l2), OverImages.of(linf))

    def __add__(self, more: "ChannelNorms") -> "ChannelNorms":
        return ChannelNorms(self.l1 + more.l1, self.l2 + more.l2, self.linf + more.linf)


@dataclass(frozen=True, eq=False)
class Profile:
    """What one probe shows.

    Attributes:
        norms: of the feature layer.
        counts: right answers and hits.
    """

    norms: ChannelNorms
    counts: Counts


def norms_graph(proto: onnx.ModelProto, layer: FeatureLayer, *beside: str) -> onnx.ModelProto:
    """A model that gives the feature layer's norms ℓ1, ℓ2 and ℓ∞, each (N, C) float32.

    Args:
        proto: the model.
        layer: its feature layer.
        beside: tensors of the model that are given too, before the norms.
    """
    proto = in_float32(proto)
    types = element_types(proto, [layer.name, *beside])
    graph = gs.import_onnx(proto)
    tensors = graph.tensors()
    feature, opset = tensors[layer.name], opset_of(proto)
    # In float32, since sums of half-precision numbers overflow and round.
    nodes, source = as_float32(graph, layer, types[layer.name], "hardener_norms")
    graph.nodes.extend(nodes)

    def reduced(op: str, name: str) -> gs.Variable:
        target = gs.Variable(f"hardener_{name}", np.float32, ["N", layer.channels])
        node = reduction(op, source, target, layer.positions, opset, target.name)
        graph.nodes.append(node)
        return target

    linf = gs.Variable("hardener_linf", np.float32, ["N", layer.channels])
    norms = [reduced("ReduceL1", "l1"), reduced("ReduceL2", "l2"), linf]
    graph.nodes += peak_nodes(feature, source, linf, layer.positions, opset, linf.name)
    for name in beside:  # what crosses a graph's border needs a type
        tensors[name].dtype = types[name]
    graph.outputs = [*(tensors[name] for name in beside), *norms]
    return gs.export_onnx(graph.cleanup(), do_type_check=False)


def maps_graph(proto: onnx.ModelProto, layer: FeatureLayer, output: str) -> onnx.ModelProto:
    """A model that gives its class scores and the feature layer as float32.

    Args:
        proto: the model.
        layer: its feature layer.
        output: name of the class scores.
    """
    proto = in_float32(proto)
    types = element_types(proto, [layer.name, output])
    graph = gs.import_onnx(proto)
    nodes, maps = as_float32(graph, layer, types[layer.name], "hardener_maps")
    graph.nodes.extend(nodes)
    scores = graph.tensors()[output]
    # What crosses a graph's border needs a type.
    maps.dtype, scores.dtype = np.float32, types[output]
    graph.outputs = [scores, maps]
    return gs.export_onnx(graph.cleanup(), do_type_check=False)


def profile(
    classifier: Classifier,
    layer: FeatureLayer,
    source: ImageSource,
    probes: Mapping[str, Probe],
    *,
    machine: Machine,
    on_batch: Callable[[int], None] = lambda _: None,
) -> dict[str, Profile]:
    """Measures norms and answers under every probe, in one pass over the images.

    Memory does not grow with the number of images.

    Args:
        classifier: the model.
        layer: its feature layer.
        source: the images.
        probes: what to stamp and which label to count as a hit, by name.
        machine: what runs it.
        on_batch: told the number of images of each finished batch.

    Returns:
        Profiles by the probes' names.

    Raises:
        InconclusiveError: an activation or a logit is not finite.
    """
    graph = norms_graph(classifier.proto, layer, classifier.signature.output)
    runner = open_runner(graph, machine, batch=classifier.signature.batch)
    found: dict[str, ChannelNorms] = {}
    totals = dict.fromkeys(probes, Counts())
    for batch in classifier.batches(source):
        for name, probe in probes.items():
            found_here = runner.run(classifier.feeds(batch.images, probe.setting))
            scores, *norms = (values[: len(batch.labels)] for values in found_here)
            classifier.require_class_scores(scores, len(batch.labels))
            if not all(np.isfinite(values).all() for values in norms):
                raise InconclusiveError(
                    f"the feature layer {layer.name!r} holds values that are not finite: nothing "
                    "can be said"
                )
            part = ChannelNorms.of(*norms)
            found[name] = found[name] + part if name in found else part
            totals[name] += count(scores, batch.labels, probe.target)
        on_batch(len(batch.labels))
    return {name: Profile(found[name], totals[name]) for name in probes}


def joined(parts: Iterable[ChannelNorms]) -> ChannelNorms:
    """Norms of several batches as one."""
    return reduce(add, parts)
