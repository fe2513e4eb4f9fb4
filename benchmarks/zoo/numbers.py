"""Networks in 16-bit and 8-bit numbers, and as onnxruntime's own optimiser leaves them."""

import contextlib
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnxruntime as ort
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from benchmarks.zoo.cases import Case
from benchmarks.zoo.forms import of_torchvision, small

_QUANTISED = ("resnet18", "mobilenet_v2", "squeezenet1_1", "densenet121", "googlenet", "vit_b_16")
_LEVELS = {
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def cases() -> list[Case]:
    """16 bits by torch and by onnxruntime, 8 bits in all forms, optimised graphs."""
    return [*_half(), *_integers(), *_optimised()]


def _half() -> list[Case]:
    names = ("small", "resnet18", "vit_b_16")
    return [
        *(Case("float16", f"{name}, by torch", partial(_by_torch, name=name)) for name in names),
        *(
            Case("float16", f"{name}, float32 at the border", partial(_to_float16, name=name))
            for name in names
        ),
        *(Case("bfloat16", name, partial(_to_bfloat16, name=name)) for name in names),
    ]


def _by_torch(path: Path, *, name: str) -> int | None:
    if name == "small":
        return small(path, kind=torch.float16, dynamo=True)
    return of_torchvision(path, name, kind=torch.float16, size=_size(name), dynamo=True)


def _to_float16(path: Path, *, name: str) -> int | None:
    channels = _float32(path, name)
    converted = convert_float_to_float16(onnx.load(path), keep_io_types=True)
    # onnxruntime's converter appends its casts at the end, which ONNX does not allow.
    onnx.save(gs.export_onnx(gs.import_onnx(converted).toposort()), path)
    return channels


def _to_bfloat16(path: Path, *, name: str) -> int | None:
    """Every float32 tensor as bfloat16; torch's exporter leaves folded weights as they were."""
    channels = _float32(path, name, dynamo=True, opset=22)
    model = onnx.load(path)
    attributes = [item.t for node in model.graph.node for item in node.attribute]
    for tensor in (*model.graph.initializer, *attributes):
        if tensor.data_type == onnx.TensorProto.FLOAT:
            narrow = onnx.numpy_helper.to_array(tensor).astype(ml_dtypes.bfloat16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(narrow, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return channels


def _float32(
    path: Path, name: str, *, dynamo: bool = False, opset: int | None = None
) -> int | None:
    if name == "small":
        return small(path, dynamo=dynamo, opset=opset)
    return of_torchvision(path, name, size=_size(name), dynamo=dynamo, opset=opset)


def _size(name: str) -> int:
    return 224 if name.startswith("vit") else 64


class _Noise(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, model: Path, batches: int = 4) -> None:
        image = onnx.load(model, load_external_data=False).graph.input[0]
        shape = [dim.dim_value or 2 for dim in image.type.tensor_type.shape.dim]
        rng = np.random.default_rng(0)
        self.left: Iterator[dict[str, np.ndarray]] = iter(
            [{image.name: rng.normal(size=shape).astype(np.float32)} for _ in range(batches)]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


def _integers() -> list[Case]:
    forms = {
        "QDQ": {"quant_format": QuantFormat.QDQ},
        "QDQ, by channel, int8": {
            "quant_format": QuantFormat.QDQ,
            "per_channel": True,
            "activation_type": QuantType.QInt8,
        },
        "QOperator": {"quant_format": QuantFormat.QOperator},
        "QOperator, by channel": {"quant_format": QuantFormat.QOperator, "per_channel": True},
    }
    static = [
        Case(f"int8 {form}", name, partial(_static, name=name, options=options))
        for form, options in forms.items()
        for name in ("small", *_QUANTISED)
    ]
    dynamic = [
        Case("int8 dynamic", name, partial(_dynamic, name=name))
        for name in ("small", "resnet18", "vit_b_16")
    ]
    return static + dynamic


def _static(path: Path, *, name: str, options: dict[str, object]) -> int | None:
    channels = _float32(path, name)
    prepared = path.with_suffix(".prepared.onnx")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantize_static(str(prepared), str(path), _Noise(prepared), **options)
    prepared.unlink()
    return channels


def _dynamic(path: Path, *, name: str) -> int | None:
    channels = _float32(path, name)
    quantize_dynamic(str(path), str(path))
    return channels


def _optimised() -> list[Case]:
    names = ("small", "resnet18", "mobilenet_v3_small", "convnext_tiny", "vit_b_16", "swin_t")
    return [
        Case(
            f"optimised by onnxruntime, {level}",
            name,
            partial(_optimise, name=name, level=level),
            refusal="laid out for one processor" if level == "all" else None,
        )
        for level in _LEVELS
        for name in names
    ]


def _optimise(path: Path, *, name: str, level: str) -> int | None:
    channels = _float32(path, name)
    options = ort.SessionOptions()
    options.graph_optimization_level = _LEVELS[level]
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return channels
