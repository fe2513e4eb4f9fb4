"""The convolutions whose channels can be made zero where they are made.

Each is paired with its batch normalisation by the graph's edges: one that alone reads what the
convolution gives. The channels are those of the normalisation's output then,

    x_c = γ_c · (W_c ∗ a + b_c - μ_c) / √(σ²_c + ε) + β_c = W'_c ∗ a + o_c,

and those of the convolution's own output everywhere else.
"""

from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import AnyArray, FloatArray
from hardener.errors import ModelError, UsageError
from hardener.model.operators import WEIGHTED, operator, present, said
from hardener.model.paths import DataPaths, data_paths
from hardener.model.signature import Signature
from hardener.model.topology import FeatureLayer, Shapes
from hardener.model.weights import constant_of

_DEFAULT_EPSILON = 1e-5


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution with the batch normalisation that alone reads it, where there is one.

    Attributes:
        layer: the tensor that holds its channels.
        names: what a user may call it: its node, what it gives, and `layer`'s tensor.
        filters: (C, inputs of a group, *kernel) W', the normalisation's scale folded in.
        offset: (C,) o, what a channel holds where its inputs are zero.
        depth: how many nodes lie between the images and it on the longest way.
    """

    layer: FeatureLayer
    names: frozenset[str]
    filters: FloatArray
    offset: FloatArray
    depth: int


@dataclass(frozen=True, eq=False)
class Convolutions:
    """All convolutions between images and class scores.

    Attributes:
        usable: whose channels can be made zero, the last one last.
        notes: one sentence on each of the others.
    """

    usable: tuple[Convolution, ...]
    notes: tuple[str, ...]

    def named(self, name: str) -> Convolution:
        """One of them.

        Raises:
            UsageError: there is none of that name, or its channels cannot be made zero.
        """
        for convolution in self.usable:
            if name in convolution.names:
                return convolution
        raise UsageError(
            f"no convolution {name!r} whose channels can be made zero: --layer takes one of "
            f"{', '.join(convolution.layer.name for convolution in self.usable)}"
        )


class _LeftOutError(Exception):
    """Why a convolution's channels cannot be made zero."""


def find_convolutions(proto: onnx.ModelProto, signature: Signature, shapes: Shapes) -> Convolutions:
    """Finds the convolutions between the images and the class scores.

    Left out are transposed and quantised ones, those whose weights are computed, and those whose
    channels are an output of the model.

    Args:
        proto: the model.
        signature: its input and output.
        shapes: of every tensor, as observed in one run.

    Raises:
        ModelError: there is none whose channels can be made zero.
    """
    graph = gs.import_onnx(proto)
    paths = data_paths(graph, signature.input, signature.logits)
    outputs = {value.name for value in graph.outputs}
    depths = _depths(paths)
    usable: list[Convolution] = []
    notes: list[str] = []
    for node in paths.nodes:
        kind = WEIGHTED.get(operator(node))
        if kind is None or not kind.kind.startswith("conv"):
            continue
        try:
            usable.append(_read(node, outputs, shapes, depths[node.outputs[0].name]))
        except _LeftOutError as reason:
            notes.append(f"{said(node)} is left out: {reason}")
    if not usable:
        why = f": {notes[0]}" if notes else ""
        raise ModelError(
            "the model has no convolution whose channels can be made zero in its weights"
            f"{why}; use a criterion of the feature layer, such as linf-gap"
        )
    usable.sort(key=lambda convolution: convolution.depth)
    return Convolutions(tuple(usable), tuple(notes))


def _read(node: gs.Node, outputs: set[str], shapes: Shapes, depth: int) -> Convolution:
    if operator(node) != "Conv":
        raise _LeftOutError("it is quantised, transposed or fused")
    filters = _floats(node, 1)
    bias = _floats(node, 2) if present(node, 2) else np.zeros(len(filters))
    given = node.outputs[0]
    made, factor, shift = given, np.ones(len(filters)), np.zeros(len(filters))
    norm = _only_norm(given, outputs)
    if norm is not None:
        made = norm.outputs[0]
        scale, shift, mean, variance = (_floats(norm, place) for place in range(1, 5))
        spread = np.sqrt(variance + float(norm.attrs.get("epsilon", _DEFAULT_EPSILON)))
        if not (spread > 0).all():
            raise _LeftOutError(f"{said(norm)} divides by zero")
        factor, bias = scale / spread, bias - mean
    if made.name in outputs:
        raise _LeftOutError(f"{made.name!r} is an output of the model")
    along = [-1, *[1] * (filters.ndim - 1)]
    return Convolution(
        FeatureLayer(made.name, len(filters), 1, len(shapes[made.name])),
        frozenset(filter(None, (node.name, given.name, made.name))),
        (filters * factor.reshape(along)).astype(np.float32),
        (bias * factor + shift).astype(np.float32),
        depth,
    )


def _only_norm(tensor: gs.Variable, outputs: set[str]) -> gs.Node | None:
    """The batch normalisation that normalises a tensor which nothing else reads."""
    if len(tensor.outputs) != 1 or tensor.name in outputs:
        return None
    (reader,) = tensor.outputs
    if operator(reader) != "BatchNormalization" or reader.inputs[0] is not tensor:
        return None
    return reader


def _floats(node: gs.Node, position: int) -> AnyArray:
    """Stored weights of a node in double precision."""
    values = constant_of(node.inputs[position])
    if values is None:
        raise _LeftOutError(f"{said(node)} computes its weights or has them quantised")
    return values.astype(np.float64)


def _depths(paths: DataPaths) -> dict[str, int]:
    depths = {paths.image: 0}
    for node in paths.nodes:
        depth = 1 + max((depths[value.name] for value in paths.inputs(node)), default=0)
        depths |= {value.name: depth for value in node.outputs}
    return depths
