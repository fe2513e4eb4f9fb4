"""Guard: the paper's per-input reading. A channel that peaks is zeroed for that image alone.

y[n, c] = 0 if ‖x[n, c]‖∞ > limit[c], else x[n, c]

alarm[n] = |{c : ‖x[n, c]‖∞ > limit[c]}|
"""

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import FloatArray
from hardener.errors import ModelError
from hardener.model.element_types import element_types
from hardener.model.operators import ALARM_OUTPUT
from hardener.model.pooling import behind_pooling
from hardener.model.surgery import append_guard, opset_of, rebuilt, reduction, unused_prefix
from hardener.model.topology import FeatureLayer


def guard(
    proto: onnx.ModelProto,
    layer: FeatureLayer,
    limit: FloatArray,
    *,
    alarm: bool = False,
) -> onnx.ModelProto:
    """Returns a model that zeroes, image by image, the channels whose ℓ∞ exceeds their limit.

    Channels are zeroed behind the poolings that alone read the layer: there it costs least, and
    what lies before it runs as it did. An image on which no channel exceeds its limit is only
    copied and keeps its logits bit for bit, unless onnxruntime would have joined nodes across the
    new one (an addition into a convolution, quantised operators, half floats computed in float32),
    which then round apart.

    Args:
        proto: the model.
        layer: its feature layer.
        limit: in activation units; () for all channels alike, or (C,).
        alarm: adds an output `hardener_alarm` (N,) int64, the number of channels zeroed on each
            image.

    Raises:
        ModelError: the feature layer is an output of the model, or the model has an alarm
            already.

    Source: Cheng et al. 2020, section 5.1, read per input.
    """
    if alarm and any(ALARM_OUTPUT in (*node.input, *node.output) for node in proto.graph.node):
        raise ModelError(
            f"the model has a {ALARM_OUTPUT!r} already: guard the original, or go without --alarm"
        )
    element_type = element_types(proto, [layer.name])[layer.name]
    graph = gs.import_onnx(proto)
    name = f"{unused_prefix(graph, layer)}_threshold"
    form = layer.along_channels(-1) if limit.ndim else ()
    threshold = gs.Constant(name, limit.astype(np.float32).reshape(form))
    opset, zeroed_at = opset_of(proto), behind_pooling(proto, layer).name
    fires = append_guard(graph, layer, element_type, threshold, opset, zeroed_at)
    if not alarm:
        return rebuilt(proto, graph)
    counts = gs.Variable(f"{fires.name}_counts", np.int64)
    total = gs.Variable(ALARM_OUTPUT, np.int64)
    to = {"to": int(onnx.TensorProto.INT64)}
    graph.nodes.append(gs.Node("Cast", counts.name, to, [fires], [counts]))
    axes = range(1, layer.rank)
    graph.nodes.append(reduction("ReduceSum", counts, total, axes, opset, f"{fires.name}_total"))
    return rebuilt(proto, graph, _one_an_image(proto))


def _one_an_image(proto: onnx.ModelProto) -> onnx.ValueInfoProto:
    """The alarm as an output: as many values as the model takes images."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    images = next(value for value in proto.graph.input if value.name not in weights)
    alarm = onnx.helper.make_tensor_value_info(ALARM_OUTPUT, onnx.TensorProto.INT64, [None])
    count = images.type.tensor_type.shape.dim[0]
    alarm.type.tensor_type.shape.dim[0].CopyFrom(count)
    return alarm
