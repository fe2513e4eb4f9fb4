"""Fine-pruning: the channels that clean images use least go first.

Source: Liu, Dolan-Gavitt and Garg 2018 (Fine-Pruning, RAID), section 4, the pruning defence: the
last convolution, its channels in the order of their average activation on clean inputs. The
fine-tuning that follows there is left out.
"""

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import FloatArray, IntArray
from hardener.data.images import ImageSource
from hardener.model.channel_flow import zero_stays_within
from hardener.model.classifier import Classifier
from hardener.model.convolutions import Convolution
from hardener.model.operators import ZERO_TO_ZERO, operator
from hardener.model.runtime import Machine, open_runner
from hardener.model.topology import FeatureLayer
from hardener.scanning.activations import ChannelNorms, joined, norms_graph


def inactivity(
    classifier: Classifier,
    convolution: Convolution,
    source: ImageSource,
    indices: IntArray,
    machine: Machine,
) -> FloatArray:
    """How little clean images use each channel; labels are not looked at.

        score_c = - mean over images n and positions i, j of |A_c(x_n)[i, j]|

    A is what the activation function makes of the convolution. Where none follows directly, as in
    front of a residual addition, it is the convolution's own output (normalised, where it is
    normalised): how much it adds.

    Args:
        classifier: the model.
        convolution: whose channels.
        source: clean images.
        indices: positions to use.
        machine: what runs the model.

    Returns:
        Scores (C,), in activation units with a minus sign, so that larger goes first; 0 for a
        channel that is never active.
    """
    layer = activation_behind(classifier.proto, convolution.layer)
    signature = classifier.signature
    runner = open_runner(norms_graph(classifier.proto, layer), machine, batch=signature.batch)
    parts: list[ChannelNorms] = []
    for batch in classifier.batches(source, indices):
        found = runner.run(classifier.feeds(batch.images))
        parts.append(ChannelNorms.of(*(values[: len(batch.labels)] for values in found)))
    positions = [classifier.model.shapes[layer.name][axis] for axis in layer.positions]
    return (-joined(parts).l1.mean / np.prod(positions)).astype(np.float32)


def activation_behind(proto: onnx.ModelProto, layer: FeatureLayer) -> FeatureLayer:
    """The same channels behind the activation function that alone reads them, if there is one."""
    graph = gs.import_onnx(proto)
    tensor = graph.tensors()[layer.name]
    if len(tensor.outputs) != 1:
        return layer
    (node,) = tensor.outputs
    clips = operator(node) == "Clip" and zero_stays_within(node)
    if not (clips or operator(node) in ZERO_TO_ZERO) or node.inputs[0] is not tensor:
        return layer
    return FeatureLayer(node.outputs[0].name, layer.channels, layer.axis, layer.rank)
