"""A torch network whose convolutions' channels are scaled and shifted by parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import torch
from torch import Tensor, nn

from hardener.model.convolutions import Convolution
from hardener.model.differentiation.fusing import fused
from hardener.model.differentiation.network import GraphNetwork
from hardener.model.network_plan import network_plan
from hardener.model.operators import PARAMETER_PREFIX
from hardener.model.signature import Signature
from hardener.model.surgery import insert_behind, redirect_readers

_SCALE = f"{PARAMETER_PREFIX}scale_"
_SHIFT = f"{PARAMETER_PREFIX}shift_"


@dataclass(frozen=True, eq=False)
class ScaledNetwork:
    """y_c = scale_c · x_c + shift_c for the channels x_c of some convolutions.

    Attributes:
        network: normalised images (N, C, H, W) to logits; nothing but scales and shifts has a
            gradient.
        scales: one (C, 1, ...) a convolution, ones at first.
        shifts: of the same shapes, zeros at first.
        offsets: of the same shapes, what the channels hold where their inputs are zero.
    """

    network: nn.Module
    scales: tuple[nn.Parameter, ...]
    shifts: tuple[nn.Parameter, ...]
    offsets: tuple[Tensor, ...]


def scaled_network(
    proto: onnx.ModelProto,
    signature: Signature,
    convolutions: Sequence[Convolution],
    device: torch.device,
) -> ScaledNetwork:
    """Turns an ONNX classifier into a torch module with a factor for every channel.

    Args:
        proto: the model.
        signature: its input and output.
        convolutions: whose channels are scaled, as `find_convolutions` gave them.
        device: where the network shall be.

    Raises:
        ModelError: an operator has no gradient here.
    """
    graph = gs.import_onnx(proto)
    for number, convolution in enumerate(convolutions):
        _append_scaling(graph, convolution, number)
    numbers = range(len(convolutions))
    names = [f"{prefix}{number}" for prefix in (_SCALE, _SHIFT) for number in numbers]
    scaled = gs.export_onnx(graph, do_type_check=False)
    plan = fused(network_plan(scaled, signature))
    module = GraphNetwork(plan, signature.layout == "NHWC", names).eval().to(device)
    parameters = [module.trained[name] for name in names]
    return ScaledNetwork(
        module,
        tuple(parameters[: len(convolutions)]),
        tuple(parameters[len(convolutions) :]),
        tuple(
            torch.from_numpy(convolution.offset).reshape(_along(convolution)).to(device)
            for convolution in convolutions
        ),
    )


def _append_scaling(graph: gs.Graph, convolution: Convolution, number: int) -> None:
    feature = graph.tensors()[convolution.layer.name]
    shape = _along(convolution)
    scale = gs.Constant(f"{_SCALE}{number}", np.ones(shape, np.float32))
    shift = gs.Constant(f"{_SHIFT}{number}", np.zeros(shape, np.float32))
    scaled = gs.Variable(f"{scale.name}/scaled", feature.dtype)
    shifted = gs.Variable(f"{shift.name}/shifted", feature.dtype)
    nodes = [
        gs.Node("Mul", scaled.name, {}, [feature, scale], [scaled]),
        gs.Node("Add", shifted.name, {}, [scaled, shift], [shifted]),
    ]
    insert_behind(graph, feature, nodes)
    redirect_readers(graph, feature, shifted, but=nodes)


def _along(convolution: Convolution) -> list[int]:
    """(C, 1, ...): without the axis that counts images."""
    return convolution.layer.along_channels(convolution.layer.channels)[1:]
