"""Architectures of torchvision, small and with random weights: gradients are those of PyTorch."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torchvision.models as zoo
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig

from hardener.arrays import FloatArray
from hardener.model.gradients import differentiable
from hardener.model.signature import Signature

SIDE, CLASSES = 32, 10


def _vision_transformer() -> nn.Module:
    model = zoo.VisionTransformer(SIDE, 8, 2, 2, 32, 64, num_classes=CLASSES)
    nn.init.normal_(model.heads[0].weight, std=0.1)  # they start at zero, and with them gradients
    return model


def _swin() -> nn.Module:
    return zoo.SwinTransformer([2, 2], 16, [2, 2], [2, 2], [4, 4], num_classes=CLASSES)


def _convnext() -> nn.Module:
    blocks = [CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 1)]
    return zoo.ConvNeXt(blocks, layer_scale=1.0, num_classes=CLASSES)


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "ConvNeXt": _convnext,
    "ShuffleNet": lambda: zoo.shufflenet_v2_x0_5(num_classes=CLASSES),
    "SqueezeNet": lambda: zoo.squeezenet1_1(num_classes=CLASSES),
    "Swin": _swin,
    "ViT": _vision_transformer,
}


def _images() -> FloatArray:
    return np.random.default_rng(0).normal(size=(2, 3, SIDE, SIDE)).astype(np.float32)


def _exported(model: nn.Module, path: Path, *, dynamo: bool) -> onnx.ModelProto:
    image = torch.from_numpy(_images())
    if dynamo:
        shapes = ({0: torch.export.Dim("N", min=1, max=64)},)
        torch.onnx.export(model, (image,), path, dynamo=True, dynamic_shapes=shapes, verbose=False)
    else:
        torch.onnx.export(
            model,
            (image,),
            path,
            dynamo=False,
            input_names=["image"],
            dynamic_axes={"image": {0: "N"}},
        )
    return onnx.load(path)


def _signature(proto: onnx.ModelProto) -> Signature:
    image, output = proto.graph.input[0].name, proto.graph.output[0].name
    return Signature(image, 3, (SIDE, SIDE), output, output, CLASSES, None)


def _gradient(model: nn.Module) -> Tensor:
    image = torch.from_numpy(_images()).requires_grad_()
    weight = torch.linspace(-1, 1, CLASSES)
    (gradient,) = torch.autograd.grad((model(image) * weight).sum(), image)
    return gradient


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "dynamo"),
    [(name, False) for name in ARCHITECTURES] + [("ViT", True)],
)
def test_gradients_are_those_of_pytorch(name: str, dynamo: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ARCHITECTURES[name]().eval()
    proto = _exported(model, tmp_path / "model.onnx", dynamo=dynamo)
    found = _gradient(differentiable(proto, _signature(proto), _images()))
    expected = _gradient(model)
    assert expected.norm() > 0
    assert (found - expected).norm() < 1e-3 * expected.norm()


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self) -> None:
        self._batches: Iterator[dict[str, FloatArray]] = iter([{"image": _images()}])

    def get_next(self) -> dict[str, FloatArray] | None:
        """The next batch; onnxruntime asks for it by this name."""
        return next(self._batches, None)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("style", [QuantFormat.QDQ, QuantFormat.QOperator])
@pytest.mark.parametrize("per_channel", [True, False])
def test_gradients_of_a_quantised_model_point_where_those_of_the_real_one_do(
    style: QuantFormat, per_channel: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = zoo.squeezenet1_1(num_classes=CLASSES).eval()
    _exported(model, tmp_path / "model.onnx", dynamo=False)
    quant_pre_process(tmp_path / "model.onnx", tmp_path / "shaped.onnx", skip_symbolic_shape=True)
    quantize_static(
        tmp_path / "shaped.onnx",
        tmp_path / "quantised.onnx",
        _Calibration(),
        quant_format=style,
        per_channel=per_channel,
    )
    proto = onnx.load(tmp_path / "quantised.onnx")
    found = _gradient(differentiable(proto, _signature(proto), _images()))
    cosine = nn.functional.cosine_similarity(found.flatten(), _gradient(model).flatten(), 0)
    assert cosine > 0.6
