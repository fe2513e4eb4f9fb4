"""ONNX to torch, for what needs gradients: trigger inversion."""

from collections.abc import Mapping
from contextlib import suppress

import numpy as np
import onnx
import torch
from torch import nn

from hardener.arrays import FloatArray
from hardener.errors import InconclusiveError, ModelError
from hardener.model.blind_spots import blind_spots
from hardener.model.chosen_outputs import with_outputs
from hardener.model.differentiation.building import NetworkPlan
from hardener.model.differentiation.fusing import fused
from hardener.model.differentiation.network import GraphNetwork
from hardener.model.network_plan import network_plan
from hardener.model.runtime import Machine, Runner, on_cpu, open_runner
from hardener.model.signature import Signature

_TOLERANCE = 1e-3
"""Largest difference of a logit, as a fraction of the largest logit."""

_SMALLEST_SCALE = 1e-3

_HALF_TOLERANCE = 2e-2
"""The same where the model computes in 16 bits and torch in 32."""

_ROUNDED_TOLERANCE = 0.05
"""The same, of the logits' range, where values are quantised: sums that differ in their last bit
may round to neighbouring steps. Seen were 0.004, one step of the output, on a trained model, and
up to 0.016 on networks with random weights."""

_HALVES = frozenset({onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16})
_ROUNDING = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "QuantizeAndBack"})


def differentiable(proto: onnx.ModelProto, signature: Signature, examples: FloatArray) -> nn.Module:
    """Turns an ONNX classifier into a torch module with frozen weights.

    The module takes normalised images (N, C, H, W) float32, whatever layout and type the graph
    takes, and gives the logits, before a closing softmax or sigmoid. It is checked against
    onnxruntime on `examples`.

    Args:
        proto: the model.
        signature: its input and output.
        examples: (N, C, H, W) network input.

    Raises:
        InconclusiveError: the model's logits are not finite.
        ModelError: an operator has no gradient here, or torch and onnxruntime disagree.
    """
    plan = fused(network_plan(proto, signature))
    network = GraphNetwork(plan, signature.layout == "NHWC").eval()
    require_logits_of_onnxruntime(network, proto, signature, plan, examples)
    return network


def require_logits_of_onnxruntime(
    network: nn.Module,
    proto: onnx.ModelProto,
    signature: Signature,
    plan: NetworkPlan,
    examples: FloatArray,
) -> None:
    """Compares a torch module with the model that it was made of.

    Args:
        network: takes images (N, C, H, W) and gives logits.
        proto: the model.
        signature: its input and output.
        plan: what the network runs.
        examples: (N, C, H, W) network input.

    Raises:
        InconclusiveError: the model's logits are not finite.
        ModelError: torch and onnxruntime disagree.
    """
    with torch.no_grad():
        logits = network(torch.from_numpy(examples)).numpy()
    ending = _reference(with_outputs(proto, signature.logits), signature.batch, plan)
    together = signature.batch or len(examples)
    parts = [examples[first : first + together] for first in range(0, len(examples), together)]
    found = [
        ending.run({signature.input: signature.network_input(part)})[0][: len(part)]
        for part in parts
    ]
    expected = np.concatenate(found).astype(np.float32)
    if not np.isfinite(expected).all():
        raise InconclusiveError("the model gives values that are not finite: nothing can be said")
    if logits.shape != expected.shape or not _agree(logits, expected, proto, plan):
        steps = blind_spots(proto, signature)
        why = f" ({steps[0]}; around it rounding alone changes the logits)" if steps else ""
        raise ModelError(
            "torch and onnxruntime disagree on this model's logits: its gradients are not used"
            f"{why}"
        )


def _agree(
    logits: FloatArray, expected: FloatArray, proto: onnx.ModelProto, plan: NetworkPlan
) -> bool:
    difference = float(np.abs(logits - expected).max())
    if _rounds(plan):
        return difference <= _ROUNDED_TOLERANCE * float(np.ptp(expected))
    scale = max(_SMALLEST_SCALE, float(np.abs(expected).max()))
    return difference <= (_HALF_TOLERANCE if _has_halves(proto) else _TOLERANCE) * scale


def _reference(proto: onnx.ModelProto, batch: int | None, plan: NetworkPlan) -> Runner:
    """onnxruntime, with exact products of 8-bit numbers where it can give them, as torch does."""
    if _rounds(plan):
        with suppress(ModelError):
            return open_runner(proto, on_cpu(torch.get_num_threads()), batch=batch, exact=True)
    return open_runner(proto, on_cpu(torch.get_num_threads()), batch=batch)


def _rounds(plan: NetworkPlan) -> bool:
    return any(node.op in _ROUNDING for node in plan.nodes)


def _has_halves(proto: onnx.ModelProto) -> bool:
    types = {tensor.data_type for tensor in proto.graph.initializer}
    types |= {value.type.tensor_type.elem_type for value in proto.graph.input}
    types |= {
        attribute.i
        for node in proto.graph.node
        if node.op_type == "Cast"
        for attribute in node.attribute
        if attribute.name == "to"
    }
    return not types.isdisjoint(_HALVES)


def torch_on(machine: Machine) -> torch.device:
    """Gives torch the machine's threads, and the device: CUDA only where torch has it too."""
    torch.set_num_threads(machine.threads)
    if machine.provider == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", machine.device)


def fast_autocast(device: torch.device) -> torch.autocast:
    """bfloat16 where the device gains from it; elsewhere nothing changes."""
    if device.type == "cuda":
        gains = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        gains = gains_from_bfloat16(torch.cpu.get_capabilities())
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=gains)


def gains_from_bfloat16(capabilities: Mapping[str, object]) -> bool:
    """Whether a processor, as torch describes it, is faster in bfloat16 than in float32.

    Intel's without matrix tiles (AMX) are not, though they have the instructions.
    """
    if capabilities.get("amx_bf16"):
        return True
    intel = str(capabilities.get("cpu_name", "")).startswith("Intel")
    return bool(capabilities.get("avx512_bf16")) and not intel
