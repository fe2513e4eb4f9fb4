"""A model whose convolutions' channels are switched by inputs, so that many prunings are tried."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import AnyArray, BoolArray
from hardener.model.chosen_outputs import with_outputs
from hardener.model.convolutions import Convolution
from hardener.model.element_types import element_types
from hardener.model.operators import PARAMETER_PREFIX
from hardener.model.surgery import append_mask

_KEEP = f"{PARAMETER_PREFIX}keep_"


def maskable_model(
    proto: onnx.ModelProto, convolutions: Sequence[Convolution], output: str
) -> onnx.ModelProto:
    """Images and, for each convolution, what to multiply its channels by, to one tensor.

    Args:
        proto: the model.
        convolutions: whose channels to multiply, as `find_convolutions` gave them.
        output: the tensor that is wanted.
    """
    types = element_types(proto, [convolution.layer.name for convolution in convolutions])
    graph = gs.import_onnx(with_outputs(proto, output))
    for number, convolution in enumerate(convolutions):
        layer = convolution.layer
        element_type = types[layer.name]
        name = f"{_KEEP}{number}"
        keep = given = gs.Variable(name, np.float32, layer.along_channels(layer.channels))
        if element_type != np.float32:
            keep = gs.Variable(f"{name}/typed", element_type)
            to = {"to": int(onnx.helper.np_dtype_to_tensor_dtype(element_type))}
            graph.nodes.insert(0, gs.Node("Cast", keep.name, to, [given], [keep]))
        append_mask(graph, layer, element_type, keep, keep)
        graph.inputs.append(given)
    return gs.export_onnx(graph, do_type_check=False)


def mask_feeds(
    convolutions: Sequence[Convolution], kept: Sequence[BoolArray]
) -> dict[str, AnyArray]:
    """The inputs that leave of each convolution the channels (C,) that are true."""
    return {
        f"{_KEEP}{number}": own.astype(np.float32).reshape(convolution.layer.along_channels(-1))
        for number, (convolution, own) in enumerate(zip(convolutions, kept, strict=True))
    }
