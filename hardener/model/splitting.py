"""A model cut in two at its feature layer: the trunk before, the head behind.

The trunk also gives what leads around the feature layer (a transformer's residual stream, sizes
that a reshape is told), and the head takes it, so that both together are the whole model.
"""

from dataclasses import dataclass

import onnx
import onnx_graphsurgeon as gs

from hardener.errors import ModelError
from hardener.model.bfloat16 import in_float32
from hardener.model.element_types import ElementType, element_types
from hardener.model.signature import Signature
from hardener.model.topology import FeatureLayer


@dataclass(frozen=True, eq=False)
class Split:
    """A model in two parts.

    Attributes:
        trunk: images to the feature layer and what leads around it.
        head: those to the class scores; its first input is the feature layer.
        border: names of the tensors that pass from one to the other, the feature layer first.
    """

    trunk: gs.Graph
    head: gs.Graph
    border: tuple[str, ...]


def split(proto: onnx.ModelProto, layer: FeatureLayer, signature: Signature) -> Split:
    """Cuts a model in two; a bfloat16 model in float32, as it is run.

    Raises:
        ModelError: the class scores do not depend on the feature layer, or a tensor that passes
            from one part to the other has an unknown type.
    """
    proto = in_float32(proto)
    border = [layer.name, *_around(proto, layer, signature)]
    types = element_types(proto, border)
    trunk, head = gs.import_onnx(proto), gs.import_onnx(proto)
    head.outputs = [head.tensors()[signature.output]]
    trunk.outputs, head.inputs = (
        [_typed(graph.tensors()[name], types[name], layer) for name in border]
        for graph in (trunk, head)
    )
    for value in head.inputs:
        value.inputs.clear()
    return Split(trunk.cleanup(), head.cleanup(remove_unused_graph_inputs=False), tuple(border))


def _around(proto: onnx.ModelProto, layer: FeatureLayer, signature: Signature) -> list[str]:
    """What the head needs of the trunk beside the feature layer."""
    graph = gs.import_onnx(proto)
    computed = {signature.input}
    behind = {layer.name}
    for node in graph.nodes:
        names = {value.name for value in node.inputs}
        outputs = {value.name for value in node.outputs if value.name}
        if names & behind:
            behind |= outputs
        elif names & computed:
            computed |= outputs
    computed |= {layer.name}
    if signature.output not in behind:
        raise ModelError(
            f"the class scores {signature.output!r} do not depend on the feature layer "
            f"{layer.name!r}: name another one with --layer"
        )
    wanted = {signature.output}
    found: dict[str, None] = {}
    for node in reversed(graph.nodes):
        made = {value.name for value in node.outputs}
        if layer.name in made or not made & wanted:
            continue
        if made & behind:
            wanted |= {value.name for value in node.inputs}
        elif not made & computed:
            wanted |= {value.name for value in node.inputs}  # from weights alone: stays in the head
        else:
            found |= dict.fromkeys(name for name in made & wanted)
    images = [signature.input] if signature.input in wanted else []
    return [*images, *reversed(found)]


def _typed(tensor: gs.Variable, element_type: ElementType, layer: FeatureLayer) -> gs.Variable:
    """The tensor with what a graph's border needs to know of it; sizes are left open."""
    tensor.dtype = element_type
    tensor.shape = None
    if tensor.name == layer.name:
        tensor.shape = [f"axis {axis}" for axis in range(layer.rank)]
        tensor.shape[layer.axis] = layer.channels
    return tensor
