"""ONNX to torch, for what needs gradients: trigger inversion."""

import contextlib
import io
import warnings

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import torch
from torch import nn

from hardener.arrays import FloatArray
from hardener.cores import available_cores
from hardener.errors import InconclusiveError, ModelError
from hardener.model.runtime import open_runner
from hardener.model.signature import Signature

_TOLERANCE = 1e-3


def differentiable(proto: onnx.ModelProto, signature: Signature, examples: FloatArray) -> nn.Module:
    """Turns an ONNX classifier into a torch module with frozen weights.

    The module gives the logits, before a closing softmax or sigmoid. It is checked against
    onnxruntime on `examples`.

    Args:
        proto: the model.
        signature: its input and output.
        examples: (N, C, H, W) network input.

    Raises:
        InconclusiveError: the model's logits are not finite.
        ModelError: an operator cannot be converted, or torch and onnxruntime disagree.
    """
    torch.set_num_threads(available_cores())
    ending_at_logits = _ending_at_logits(proto, signature)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            from onnx2pytorch import ConvertModel  # noqa: PLC0415  its import warns

            module = ConvertModel(ending_at_logits, experimental=True)
            module.eval().requires_grad_(False)
            with torch.no_grad():
                logits = module(torch.from_numpy(examples)).numpy()
        except Exception as error:  # the converter raises whatever an operator's code raises
            raise ModelError(
                f"the model cannot be turned into a differentiable one: "
                f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            ) from error
    (expected,) = open_runner(ending_at_logits, "cpu").run({signature.input: examples})
    scale = max(1.0, float(np.abs(expected).max()))
    if not np.isfinite(expected).all():
        raise InconclusiveError("the model gives values that are not finite: nothing can be said")
    same = logits.shape == expected.shape
    if not same or not np.abs(logits - expected).max() <= _TOLERANCE * scale:
        raise ModelError("torch and onnxruntime disagree on this model's logits: it is not scanned")
    return module.to(memory_format=torch.channels_last)


def fast_autocast() -> torch.autocast:
    """bfloat16 where the processor multiplies it natively; elsewhere nothing changes."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=_has_bfloat16())


def _has_bfloat16() -> bool:
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def _ending_at_logits(proto: onnx.ModelProto, signature: Signature) -> onnx.ModelProto:
    graph = gs.import_onnx(proto)
    logits = graph.tensors()[signature.logits]
    logits.dtype, logits.shape = np.dtype(np.float32), ["N", signature.classes]
    graph.outputs = [logits]
    return gs.export_onnx(graph.cleanup(), do_type_check=False)
