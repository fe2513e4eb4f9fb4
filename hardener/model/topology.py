"""Where the feature layer lies, read from the graph and the shapes observed in one run.

In a convolutional network the feature layer is the last feature map before pooling and the
classifier head: the activation that Grad-CAM would use. Every way from the images to the output
leads through it. In a transformer it is the hidden units of the last block, between the two
layers of its perceptron; the residual stream leads around them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.errors import ModelError, UsageError
from hardener.model.channel_axis import channel_axis
from hardener.model.operators import (
    ATTENTION,
    COPIES,
    MOVES,
    OUTPUT_QUANTISATION,
    POOLS,
    REDUCTIONS,
    WEIGHTED,
    operator,
    present,
    said,
)
from hardener.model.paths import DataPaths, data_paths
from hardener.model.signature import Signature
from hardener.model.weights import constant_of

Shapes = Mapping[str, tuple[int, ...]]

_PASSED_THROUGH = COPIES | MOVES | POOLS | REDUCTIONS | {"DynamicQuantizeLinear"}
_KEEPS_SCALE = MOVES | {"Clip", "Identity", "MaxPool", "Relu"}
_PER_TOKEN = frozenset({"gemm", "matmul"})


@dataclass(frozen=True)
class FeatureLayer:
    """The tensor whose channels are measured and pruned.

    Attributes:
        name: the ONNX tensor's name.
        channels: C.
        axis: which axis holds the channels.
        rank: how many axes the tensor has; the first one counts images.
        bypassed: whether values also lead around it to the output, as a transformer's residual
            stream does.
        scale: activation units of one step, where the tensor holds integers.
        zero_point: the integer that stands for zero there.
    """

    name: str
    channels: int
    axis: int = 1
    rank: int = 4
    bypassed: bool = False
    scale: float | None = None
    zero_point: int | None = None

    @property
    def positions(self) -> tuple[int, ...]:
        """Axes that count neither images nor channels: height and width, or tokens."""
        return tuple(axis for axis in range(1, self.rank) if axis != self.axis)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what a user has to know of this layer."""
        if not self.bypassed:
            return ()
        return (
            f"values also lead around the feature layer {self.name!r}: pruning it cannot stop what "
            "they carry",
        )

    def along_channels(self, length: int) -> list[int]:
        """A shape that broadcasts `length` values, one a channel, over the tensor."""
        return [length if axis == self.axis else 1 for axis in range(self.rank)]


def find_feature_layer(
    proto: onnx.ModelProto, signature: Signature, shapes: Shapes, name: str | None = None
) -> FeatureLayer:
    """Finds the last feature map, or the last block's hidden units.

    Args:
        proto: the model.
        signature: its input and output.
        shapes: of every tensor, as observed in one run.
        name: a tensor's name that overrides the search.

    Raises:
        ModelError: no such tensor can be told from the graph; the message says why.
        UsageError: the named tensor does not exist or is no activation with channels.
    """
    graph = gs.import_onnx(proto)
    paths = data_paths(graph, signature.input, signature.logits)
    if not paths.nodes:
        raise ModelError(f"output {signature.output!r} does not depend on the images")
    if name is not None:
        return _named(graph, paths, shapes, name)
    last = _last_map(graph, paths, shapes)
    before = paths.before(last)
    weighted = [node for node in before if _has_weights(node, paths)]
    deepest = _deepest(weighted, paths)
    tokens = len(shapes[last.name]) == 3 or any(_is_attention(node, paths) for node in before)
    if deepest and tokens and all(WEIGHTED[operator(n)].kind in _PER_TOKEN for n in deepest):
        if len(deepest) > 1:
            raise ModelError(
                f"several layers end the last block ({', '.join(map(said, deepest))}): name the "
                "feature layer with --layer"
            )
        hidden = _past_copies(_data_inputs(deepest[0], paths)[0], paths, shapes)
        # Of two axes it is a gate's hidden units (squeeze and excite), which no image's map are.
        last = hidden if len(shapes[hidden.name]) >= 3 else last
    return _layer(last, paths, shapes)


def _require_same_zero(tensor: gs.Variable, zero_point: int) -> None:
    for reader in tensor.outputs:
        if not operator(reader).endswith("DequantizeLinear") or reader.inputs[0] is not tensor:
            continue
        read = constant_of(reader.inputs[2]) if present(reader, 2) else np.zeros(1)
        if read is None or np.any(read != zero_point):
            raise ModelError(
                f"{said(reader)} reads the feature layer with another zero point than it was "
                "quantised with: name another layer with --layer"
            )


def _named(graph: gs.Graph, paths: DataPaths, shapes: Shapes, name: str) -> FeatureLayer:
    tensors = graph.tensors()
    if name not in tensors:
        near = ", ".join(sorted(key for key in tensors if name.lower() in key.lower())[:5])
        hint = f" (did you mean {near}?)" if near else ""
        raise UsageError(f"the graph has no tensor {name!r}{hint}")
    if name not in paths.tensors or name == paths.image or len(shapes.get(name, ())) < 3:
        raise UsageError(
            f"tensor {name!r} is no activation between the images and the class scores with "
            "channels and positions"
        )
    return _layer(tensors[name], paths, shapes)


def _layer(tensor: gs.Variable, paths: DataPaths, shapes: Shapes) -> FeatureLayer:
    shape = shapes[tensor.name]
    if len(shape) < 2 or shape[0] != shapes[paths.image][0]:
        raise ModelError(
            f"the feature layer {tensor.name!r} has shape {shape}, whose first axis does not "
            "count images: name another one with --layer"
        )
    if tensor.name == paths.output:
        raise ModelError(f"the feature layer {tensor.name!r} is itself the output of the model")
    axis = channel_axis(tensor, shapes)
    if shape[axis] < 2:
        raise ModelError(
            f"the feature layer {tensor.name!r} has one channel only: name another one with --layer"
        )
    scale, zero_point = _quantisation(tensor)
    return FeatureLayer(
        tensor.name,
        shape[axis],
        axis,
        len(shape),
        bypassed=tensor.name not in paths.cuts(),
        scale=scale,
        zero_point=zero_point,
    )


def _quantisation(tensor: gs.Variable) -> tuple[float, int] | tuple[None, None]:
    """Scale and zero point of a tensor of integers, told by the operator that made it."""
    at = tensor
    while at.inputs:
        node = at.inputs[0]
        positions = OUTPUT_QUANTISATION.get(operator(node))
        if positions is not None and present(node, positions[1]):
            scale, zero_point = (constant_of(node.inputs[position]) for position in positions)
            if scale is None or zero_point is None or scale.size != 1:
                raise ModelError(
                    f"the feature layer {tensor.name!r} is quantised by more than one scale or a "
                    "computed one: name another one with --layer"
                )
            _require_same_zero(tensor, int(zero_point.item()))
            return float(scale.item()), int(zero_point.item())
        if operator(node) not in _KEEPS_SCALE:
            break
        at = node.inputs[0]
    return None, None


def _last_map(graph: gs.Graph, paths: DataPaths, shapes: Shapes) -> gs.Variable:
    """The last tensor with positions that every way leads through, before layers with weights."""
    tensors = graph.tensors()
    weighted = [p for p, node in enumerate(paths.nodes) if _has_weights(node, paths)]
    last_weights = max(weighted, default=-1)
    single: gs.Variable | None = None
    behind: gs.Variable | None = None
    for name, position in reversed(paths.cuts().items()):
        shape = shapes[name]
        if len(shape) >= 3 and position < last_weights:
            several = sum(size > 1 for size in shape[1:]) > 1
            # A map of one position counts unless pooling made it, which begins the head.
            if several and (single is None or _is_passage(behind, paths)):
                return _past_copies(tensors[name], paths, shapes)
            if several:
                break
            single = single or tensors[name]
        behind = tensors[name]
    if single is None:
        raise ModelError(
            "no feature map that all ways lead through lies before the classifier head: name the "
            "feature layer with --layer"
        )
    return _past_copies(single, paths, shapes)


def _past_copies(tensor: gs.Variable, paths: DataPaths, shapes: Shapes) -> gs.Variable:
    """Back through what only moves, pools or dequantises, to the activation itself."""
    while _is_passage(tensor, paths):
        (source,) = paths.inputs(tensor.inputs[0])
        if not source.inputs or len(shapes[source.name]) < 3:
            break
        tensor = source
    return tensor


def _is_passage(tensor: gs.Variable | None, paths: DataPaths) -> bool:
    """Whether a tensor is another one moved, pooled or copied."""
    if tensor is None or not tensor.inputs:
        return False
    node = tensor.inputs[0]
    return operator(node) in _PASSED_THROUGH and len(paths.inputs(node)) == 1


def _deepest(nodes: list[gs.Node], paths: DataPaths) -> list[gs.Node]:
    """Of these nodes the ones with most nodes between them and the images."""
    depth = {paths.image: 0}
    reached: dict[int, int] = {}
    for node in paths.nodes:
        own = 1 + max((depth[value.name] for value in paths.inputs(node)), default=0)
        depth |= {value.name: own for value in node.outputs}
        reached[id(node)] = own
    deepest = max((reached[id(node)] for node in nodes), default=0)
    return [node for node in nodes if reached[id(node)] == deepest]


def _has_weights(node: gs.Node, paths: DataPaths) -> bool:
    return operator(node) in WEIGHTED and len(_data_inputs(node, paths)) == 1


def _data_inputs(node: gs.Node, paths: DataPaths) -> list[gs.Variable]:
    """Of a layer's two factors those that depend on the images."""
    kind = WEIGHTED[operator(node)]
    factors = (node.inputs[kind.data], node.inputs[kind.weight])
    return [value for value in factors if value.name in paths.tensors]


def _is_attention(node: gs.Node, paths: DataPaths) -> bool:
    products = operator(node) in ("MatMul", "Einsum", "com.microsoft::FusedMatMul")
    return operator(node) in ATTENTION or (products and len(paths.inputs(node)) > 1)
