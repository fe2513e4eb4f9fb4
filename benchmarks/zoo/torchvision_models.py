"""Every classification architecture of torchvision, through both of torch's exporters."""

from functools import partial
from pathlib import Path

import torch
import torchvision
from torchvision.models import get_model, list_models

from benchmarks.zoo.cases import Case
from benchmarks.zoo.torch_models import enlivened, export, hidden_or_input_channels

_EXPORTERS = {"dynamo": True, "script": False}
_FULL_SIZE = ("vit", "maxvit", "vgg", "alexnet")


def cases() -> list[Case]:
    """80 architectures, each through torch.export and through TorchScript."""
    return [
        Case(f"torchvision, {exporter}", name, partial(_write, name, dynamo))
        for name in list_models(module=torchvision.models)
        for exporter, dynamo in _EXPORTERS.items()
    ]


def image_shape(name: str) -> tuple[int, int, int]:
    """A small input that the architecture still takes."""
    if name.startswith("inception"):
        return (3, 96, 96)
    if name == "vit_h_14":
        return (3, 224, 224)
    return (3, 224, 224) if name.startswith(_FULL_SIZE) else (3, 64, 64)


def _write(name: str, dynamo: bool, path: Path) -> int | None:
    torch.manual_seed(0)
    module = enlivened(get_model(name, weights=None), image_shape(name))
    export(module, image_shape(name), path, dynamo=dynamo)
    return hidden_or_input_channels(module, name)
