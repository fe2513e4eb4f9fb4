"""The same few networks in every form that a file may have: opsets, endings, layouts, types."""

from functools import partial
from pathlib import Path

import onnx
import torch
from onnx import version_converter
from torch import nn
from torchvision.models import get_model

from benchmarks.zoo.cases import Case
from benchmarks.zoo.torch_models import enlivened, export

IMAGE = (3, 32, 32)
NEWEST_OPSET = 26


class SmallResidual(nn.Module):
    """Convolutions with BatchNorm, a residual add, squeeze-and-excite, a channel shuffle."""

    width = 24

    def __init__(
        self, pool: str = "adaptive", ending: str = "none", channels_last: bool = False
    ) -> None:
        super().__init__()
        self.pool, self.ending, self.channels_last = pool, ending, channels_last
        self.stem = nn.Sequential(nn.Conv2d(3, self.width, 3, 2, 1), nn.BatchNorm2d(self.width))
        self.body = nn.Sequential(
            nn.ReLU(), nn.Conv2d(self.width, self.width, 3, 2, 1), nn.BatchNorm2d(self.width)
        )
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(self.width, 6, 1), nn.ReLU(),
            nn.Conv2d(6, self.width, 1), nn.Sigmoid(),
        )  # fmt: skip
        self.shortcut = nn.Conv2d(self.width, self.width, 1, 2)
        self.last = nn.Conv2d(self.width, self.width, 3, padding=1)
        self.classifier = nn.Linear(self.width, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Class scores, in the form asked for."""
        if self.channels_last:
            images = images.permute(0, 3, 1, 2)
        start = self.stem(images)
        body = self.body(start)
        joined = torch.relu(body * self.squeeze(body) + self.shortcut(start))
        height, width = joined.shape[2:]
        groups = joined.view(-1, 2, self.width // 2, height, width).transpose(1, 2)
        groups = groups.reshape(-1, self.width, height, width)
        features = torch.relu(self.last(groups))
        if self.pool == "mean":
            pooled = features.mean((2, 3))
        elif self.pool == "average":
            pooled = nn.functional.avg_pool2d(features, 8).flatten(1)
        elif self.pool == "max":
            pooled = features.amax((2, 3))
        else:
            pooled = nn.functional.adaptive_avg_pool2d(features, 1).flatten(1)
        logits = self.classifier(pooled)
        return _ended(logits, self.ending)


def _ended(logits: torch.Tensor, ending: str) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    if ending == "softmax":
        return logits.softmax(1)
    if ending == "log-softmax":
        return logits.log_softmax(1)
    if ending == "sigmoid":
        return logits.sigmoid()
    if ending == "logits and softmax":
        return logits, logits.softmax(1)
    return logits


def small(
    path: Path,
    *,
    form: dict[str, object] | None = None,
    kind: torch.dtype = torch.float32,
    **how: object,
) -> int | None:
    """Writes a `SmallResidual` in a number type; `form` goes to it, `how` to the exporter."""
    torch.manual_seed(0)
    form = form or {}
    module = SmallResidual(**form)  # type: ignore[arg-type]
    image = (32, 32, 3) if form.get("channels_last") else IMAGE
    outputs = ("logits", "scores") if form.get("ending") == "logits and softmax" else ("logits",)
    export(enlivened(module, image).to(kind), image, path, outputs=outputs, **how)  # type: ignore[arg-type]
    return SmallResidual.width


def of_torchvision(
    path: Path, name: str, *, kind: torch.dtype = torch.float32, size: int = 64, **how: object
) -> int | None:
    """Writes a torchvision architecture of ten classes in a number type."""
    torch.manual_seed(0)
    image = (3, size, size)
    module = enlivened(get_model(name, weights=None, num_classes=10), image).to(kind)
    export(module, image, path, **how)  # type: ignore[arg-type]
    return None


def cases() -> list[Case]:
    """Every form, each as a case."""
    return [
        *_opsets(),
        *_endings(),
        *_poolings(),
        *_batches(),
        *_auxiliary(),
        Case("layout", "NHWC input, dynamo", partial(_nhwc, dynamo=True)),
        Case("layout", "NHWC input, script", partial(_nhwc, dynamo=False)),
        Case("BatchNorm", "separate", partial(small, dynamo=False, fold=False, training=False)),
        Case("storage", "external data", _external),
    ]


def _nhwc(path: Path, *, dynamo: bool) -> int | None:
    return small(path, form={"channels_last": True}, dynamo=dynamo)


def _opsets() -> list[Case]:
    script = [
        Case("opset", f"{opset}, script", partial(small, dynamo=False, opset=opset))
        for opset in range(9, 21)
    ]
    newer = [
        Case("opset", f"{opset}, dynamo", partial(_converted, opset=opset))
        for opset in range(18, NEWEST_OPSET + 1)
    ]
    old = Case("opset", "8", partial(_converted, opset=8), refusal="is of opset 8")
    return [*script, *newer, old]


def _converted(path: Path, *, opset: int) -> int | None:
    channels = small(path, dynamo=opset > 9, opset=18 if opset > 9 else 9)
    model = onnx.load(path)
    if opset != model.opset_import[0].version:
        model = version_converter.convert_version(model, opset)
    onnx.save(model, path)
    return channels


def _endings() -> list[Case]:
    names = ("softmax", "log-softmax", "sigmoid", "logits and softmax")
    return [
        Case("ending", ending, partial(small, form={"ending": ending}, dynamo=False))
        for ending in names
    ]


def _poolings() -> list[Case]:
    return [
        Case("pooling", f"{pool}, {exporter}", partial(small, form={"pool": pool}, dynamo=dynamo))
        for pool in ("mean", "average", "max", "adaptive")
        for exporter, dynamo in (("dynamo", True), ("script", False))
    ]


def _batches() -> list[Case]:
    return [
        Case("fixed batch", f"{batch}, {exporter}", partial(small, batch=batch, dynamo=dynamo))
        for batch in (1, 4)
        for exporter, dynamo in (("dynamo", True), ("script", False))
    ]


def _auxiliary() -> list[Case]:
    outputs = ("logits", "aux2", "aux1")
    return [
        Case("auxiliary outputs", name, partial(_in_training, name=name, size=size, outputs=names))
        for name, size, names in (
            ("googlenet", 224, outputs),
            ("inception_v3", 299, ("logits", "aux")),
        )
    ]


def _in_training(path: Path, *, name: str, size: int, outputs: tuple[str, ...]) -> int | None:
    """As torchvision trains it, with the auxiliary classifiers among the outputs."""
    torch.manual_seed(0)
    image = (3, size, size)
    module = enlivened(get_model(name, weights=None, num_classes=10, init_weights=False), image)
    module.training = True  # the module alone: its parts stay as they are at inference
    # TorchScript has no adaptive pooling to sizes that do not divide, which GoogLeNet's needs.
    export(module, image, path, dynamo=name == "googlenet", outputs=outputs, training=True)
    return {"googlenet": 1024, "inception_v3": 2048}[name]


def _external(path: Path) -> int | None:
    channels = small(path, dynamo=False)
    onnx.save(
        onnx.load(path),
        path,
        save_as_external_data=True,
        location=f"{path.name}.data",
        size_threshold=0,
    )
    return channels
