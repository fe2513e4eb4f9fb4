"""torch modules with random weights whose logits depend on every layer, and their export."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

_BATCH = 2
_CALIBRATING = 4


def enlivened(module: nn.Module, image: tuple[int, int, int]) -> nn.Module:
    """Gives a freshly made module weights under which its feature layer decides the logits.

    What is made zero or tiny at first (heads of transformers, layer scales) becomes random, and
    BatchNorm takes its statistics from noise, so that activations neither vanish nor explode.

    Args:
        module: with random weights.
        image: C, H, W of its input.
    """
    module.eval()
    for parameter in module.parameters():
        if parameter.ndim and float(parameter.detach().abs().max()) < 1e-3:
            nn.init.normal_(parameter, std=0.1)
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        module(torch.randn(_CALIBRATING, *image))
    return module.eval()


def export(
    module: nn.Module,
    image: tuple[int, int, int],
    path: Path,
    *,
    dynamo: bool,
    outputs: tuple[str, ...] = ("logits",),
    opset: int | None = None,
    batch: int | None = None,
    training: bool = False,
    fold: bool = True,
) -> None:
    """Writes a module by one of torch's two exporters.

    Args:
        module: the classifier.
        image: C, H, W of its input.
        path: the file to write.
        dynamo: by torch.export, else by tracing to TorchScript.
        outputs: their names.
        opset: by default the exporter's.
        batch: fixes the batch size.
        training: keeps training mode (auxiliary heads).
        fold: folds BatchNorm into convolutions (TorchScript).
    """
    kind = next((p.dtype for p in module.parameters()), torch.float32)
    example = torch.randn(batch or _BATCH, *image).to(kind)
    names: dict[str, Any] = {
        "input_names": ["input"],
        "output_names": list(outputs),
        "opset_version": opset,
    }
    with _silently():
        if dynamo:
            free = None if batch else ({0: torch.export.Dim("N", max=4096)},)
            torch.onnx.export(
                module, (example,), path, dynamo=True, dynamic_shapes=free, verbose=False, **names
            )
        else:
            free_axes = None if batch else {name: {0: "N"} for name in ("input", *outputs)}
            mode = torch.onnx.TrainingMode.PRESERVE if training else torch.onnx.TrainingMode.EVAL
            torch.onnx.export(
                module,
                (example,),
                path,
                dynamo=False,
                dynamic_axes=free_axes,
                training=mode,
                do_constant_folding=fold,
                **names,
            )


@contextmanager
def _silently() -> Iterator[None]:
    logging.disable(logging.WARNING)
    try:
        quiet = io.StringIO()
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(quiet),
            contextlib.redirect_stderr(quiet),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def hidden_or_input_channels(module: nn.Module, name: str) -> int | None:
    """Channels of the feature layer as the architecture tells them, where that is plain.

    Args:
        module: a torchvision classifier.
        name: its architecture.
    """
    linears = [part for part in module.modules() if isinstance(part, nn.Linear)]
    if name.startswith(("vit", "swin", "maxvit")):
        head = _head(module)
        blocks = [part for part in linears if all(part is not own for own in head.modules())]
        return blocks[-1].in_features
    if name.startswith("squeezenet"):
        return 512
    first = next(part for part in _head(module).modules() if isinstance(part, nn.Linear))
    positions = {"alexnet": 36}.get(name, 49 if name.startswith("vgg") else 1)
    return first.in_features // positions


def _head(module: nn.Module) -> nn.Module:
    return list(module.children())[-1]
