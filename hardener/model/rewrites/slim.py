"""Slim: pruned channels are taken out of the graph, with everything that made and read them.

A channel that is gone is not computed, and what read it reads zero no more:

    y = Σ_c W[:, c] · x[c] + b,   x[c] = 0 for c ∈ P   ⇒   y = Σ_{c ∉ P} W[:, c] · x[c] + b

Between them every weight, scale, slope and size shrinks that belongs to the channel. Where
something else reads it before the feature layer (as blocks of a residual network do), the channel
has to stay, and the rewrite is refused.
"""

from collections.abc import Collection

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import AnyArray
from hardener.errors import ModelError, one_line
from hardener.model.channel_flow import CannotFollowError, Shapes
from hardener.model.external_data import check_model
from hardener.model.operators import operator
from hardener.model.rewrites.cuts import JOINS, Cut
from hardener.model.rewrites.removal import Parameter, Place, Removal, removal_of
from hardener.model.surgery import rebuilt
from hardener.model.topology import FeatureLayer
from hardener.model.weights import constant_of, own_copy

_SPLIT_SIZES_ARE_INPUT = 13


def slim(
    proto: onnx.ModelProto, layer: FeatureLayer, shapes: Shapes, channels: Collection[int]
) -> onnx.ModelProto:
    """Returns a smaller model without the named channels of the feature layer.

    Args:
        proto: the model.
        layer: its feature layer.
        shapes: of every tensor, as observed in one run.
        channels: to prune.

    Raises:
        ModelError: the channels cannot be taken out without changing anything else; the message
            names the node in the way.
    """
    gone = np.zeros(layer.channels, np.bool_)
    gone[sorted(channels)] = True
    graph = gs.import_onnx(proto)
    cut = Cut(layer.axis, gone, np.zeros(layer.channels))
    opsets = {item.domain: item.version for item in proto.opset_import}
    try:
        if gone.all():
            raise CannotFollowError("no channel would be left")
        removal = removal_of(graph, graph.tensors()[layer.name], cut, shapes, opsets)
        _shrink(graph, removal, shapes)
        slimmed = _without_gone_inputs(rebuilt(proto, graph.cleanup()), proto)
        check_model(slimmed, full=True)
    except CannotFollowError as error:
        raise _refusal(str(error)) from error
    except RecursionError as error:
        raise _refusal("more nodes in a row than can be followed") from error
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _refusal(f"the smaller graph is not valid, {one_line(error)}") from error
    return slimmed


def _refusal(reason: str) -> ModelError:
    return ModelError(f"the channels cannot be removed: {reason}: use --rewrite fold or mask")


def _shrink(graph: gs.Graph, removal: Removal, shapes: Shapes) -> None:
    names = set(graph.tensors())
    for node in list(graph.nodes):
        cut = next((removal.cuts[v.name] for v in node.outputs if v.name in removal.cuts), None)
        if cut is not None and operator(node) == "Reshape":
            _retarget(graph, names, node, removal, shapes)
        if cut is not None and operator(node) == "Split":
            _resplit(graph, names, node, removal, shapes)
    _shrink_constants(graph, names, removal)
    for place, values in removal.biases:
        _give(graph, names, [place], values)
    for node, groups in removal.groups.values():
        node.attrs["group"] = groups
    for place in sorted(removal.left_out, key=lambda place: -place.position):
        _, width = JOINS[operator(place.node)]
        for _ in range(width):
            del place.node.inputs[place.position]
    tensors = graph.tensors()
    for name, cut in removal.cuts.items():
        declared = tensors[name].shape
        if declared is not None and len(declared) != len(shapes[name]):
            tensors[name].shape = None
        elif declared is not None and isinstance(declared[cut.axis], int):
            tensors[name].shape = [
                cut.stays if axis == cut.axis else size for axis, size in enumerate(declared)
            ]


def _shrink_constants(graph: gs.Graph, names: set[str], removal: Removal) -> None:
    """Takes places out of constants; readers that lose the same go on sharing one."""
    shared: dict[tuple[object, ...], list[Parameter]] = {}
    for parameter in removal.parameters.values():
        read = parameter.place.node.inputs[parameter.place.position]
        loses = tuple((axis, gone.tobytes()) for axis, gone in sorted(parameter.gone.items()))
        shared.setdefault((id(read), loses), []).append(parameter)
    for alike in shared.values():
        values = alike[0].values
        for axis, gone in alike[0].gone.items():
            values = np.compress(~gone, values, axis)
        _give(graph, names, [parameter.place for parameter in alike], values)


def _retarget(
    graph: gs.Graph, names: set[str], node: gs.Node, removal: Removal, shapes: Shapes
) -> None:
    """Writes the new size where a reshape is told the old one."""
    before, after = node.inputs[0].name, node.outputs[0].name
    cut = removal.cuts[after]
    stored = removal.parameters.get((id(node), 0))
    axis = removal.cuts[before].axis if stored is None else next(iter(stored.gone))

    def changed(sizes: AnyArray, start: int = 0) -> AnyArray:
        new = sizes.copy()
        for place, size in enumerate(sizes, start):
            if place == cut.axis and size != -1:
                new[place - start] = cut.stays
            elif place == axis and size == 0:  # as many as were read there
                new[place - start] = shapes[after][place]
        return new

    target = constant_of(node.inputs[1])
    if target is not None:
        _give(graph, names, [Place(node, 1)], changed(target))
        return
    maker = node.inputs[1].inputs[0] if node.inputs[1].inputs else None
    if maker is None or operator(maker) != "Concat":
        return  # from sizes that are smaller now
    if len(maker.outputs[0].outputs) > 1:
        maker = own_copy(graph, maker, node, 1)
    start = 0
    for position, part in enumerate(list(maker.inputs)):
        sizes = constant_of(part)
        if sizes is not None:
            _give(graph, names, [Place(maker, position)], changed(sizes, start))
        start += shapes[part.name][0]


def _resplit(
    graph: gs.Graph, names: set[str], node: gs.Node, removal: Removal, shapes: Shapes
) -> None:
    """Writes the new sizes of the parts that a tensor is split into."""
    axis = int(node.attrs.get("axis", 0)) % len(shapes[node.inputs[0].name])
    cuts = [removal.cuts.get(value.name) for value in node.outputs]
    if all(cut is None or cut.axis != axis for cut in cuts):
        return
    sizes = [
        shapes[value.name][axis] if cut is None or cut.axis != axis else cut.stays
        for value, cut in zip(node.outputs, cuts, strict=True)
    ]
    if graph.opset < _SPLIT_SIZES_ARE_INPUT:
        node.attrs["split"] = sizes
        return
    node.attrs.pop("num_outputs", None)
    _give(graph, names, [Place(node, 1)], np.array(sizes, np.int64))


def _give(graph: gs.Graph, names: set[str], places: list[Place], values: AnyArray) -> None:
    """Lets some inputs read a constant; one that nothing else reads is replaced by name."""
    node, position = places[0].node, places[0].position
    if len(node.inputs) == position:
        node.inputs.append(gs.Variable.empty())
    old = node.inputs[position]
    name = old.name
    shown = any(old is value for value in graph.outputs)
    if not isinstance(old, gs.Constant) or len(old.outputs) > len(places) or shown:
        name = base = f"{node.outputs[0].name}/hardener_slim_{position}"
        number = 1
        while name in names:
            number += 1
            name = f"{base}_{number}"
        names.add(name)
    new = gs.Constant(name, values)
    for place in places:
        place.node.inputs[place.position] = new


def _without_gone_inputs(slimmed: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """Lists weights among the inputs, where the original does, as they are now."""
    kept = {tensor.name: tensor for tensor in slimmed.graph.initializer}
    gone = {tensor.name for tensor in original.graph.initializer} - kept.keys()
    inputs = [value for value in slimmed.graph.input if value.name not in gone]
    for value in inputs:
        if value.name in kept:
            tensor = kept[value.name]
            value.CopyFrom(
                onnx.helper.make_tensor_value_info(value.name, tensor.data_type, tensor.dims)
            )
    listed = onnx.GraphProto(input=inputs)
    del slimmed.graph.input[:]
    slimmed.graph.input.extend(listed.input)
    return slimmed
