"""PyTorch to ONNX, checked against PyTorch on real images before the file appears."""

import contextlib
import importlib
import importlib.util
import io
import json
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray
from hardener.data.images import ImageSource, open_images
from hardener.data.preprocessing import LARGEST_SIDE, Preprocessing
from hardener.data.signs import render_signs
from hardener.documents.export import ExportResult
from hardener.documents.identity import DataIdentity, ModelIdentity, Normalisation
from hardener.errors import DataError, ModelError, UsageError
from hardener.files import FileName, check_output
from hardener.model.checkpoints import load_weights
from hardener.model.files import CLASS_NAMES_KEY, PREPROCESSING_KEY
from hardener.model.runtime import Machine, open_runner
from hardener.model.saving import save_model, with_metadata

PARITY_TOLERANCE = 1e-4
_PARITY_IMAGES = 86
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*m")


def export(
    checkpoint: FileName,
    arch: str,
    output: FileName,
    *,
    input_size: tuple[int, int, int] | None = None,
    opset: int | None = None,
    class_names: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    data: FileName | None = None,
    arch_arguments: Mapping[str, object] | None = None,
) -> ExportResult:
    """Writes a PyTorch classifier as ONNX with a dynamic batch.

    Importing the architecture runs its code; the checkpoint runs none.

    Args:
        checkpoint: a state dictionary, as safetensors or as `.pt` without pickled code.
        arch: `MODULE:CLASS` or `FILE.py:CLASS`; the module is looked for in the working
            directory first.
        output: the ONNX file.
        input_size: channels, height, width; by default the class's `input_size`.
        opset: of the standard operators; by default the exporter's.
        class_names: in label order.
        mean: for each channel, on pixels in [0, 1]; by default the class's `mean`.
        std: likewise, by default the class's `std`.
        data: images to compare the logits on; by default rendered traffic signs.
        arch_arguments: keyword arguments of the class.

    Raises:
        UsageError: the architecture cannot be imported or built.
        ModelError: checkpoint and architecture do not fit, the export fails, or a logit differs
            from PyTorch's by more than 1e-4.
        DataError: the comparison images cannot be read.
    """
    checkpoint, output = Path(checkpoint), Path(output)
    check_output(output, ".onnx", checkpoint)
    # The architecture is the user's code and may print; standard output is for the result.
    with contextlib.redirect_stdout(sys.stderr):
        constructor = _import_arch(arch)
        network = _build(arch, constructor, arch_arguments or {})
    checkpoint_sha256 = load_weights(network, checkpoint)
    network.eval()
    shape = input_size or _class_tuple(constructor, "input_size")
    if shape is None:
        raise UsageError(f"{arch} has no input_size: give --input-size C,H,W")
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape) < 1:
        raise UsageError(f"input size {tuple(shape)} is not C,H,W with 1 or 3 channels")
    if max(shape) > LARGEST_SIDE:
        raise UsageError(f"input size {tuple(shape)} is over {LARGEST_SIDE} pixels a side")
    channels, height, width = (int(size) for size in shape)
    preprocessing = _preprocessing(constructor, (height, width), channels, mean, std)
    properties: dict[str, str] = {}
    if class_names is not None:
        properties[CLASS_NAMES_KEY] = json.dumps(list(class_names), ensure_ascii=False)
    if preprocessing is not None:
        properties[PREPROCESSING_KEY] = preprocessing.to_json()
    source = None if data is None else open_images(Path(data), class_names)
    pixels = _parity_images(source, (height, width), channels)
    images = pixels if preprocessing is None else preprocessing.apply(pixels)

    proto = with_metadata(_exported(network, images[:2], opset), properties)
    expected = _logits(network, images)
    if class_names is not None and expected.shape[1] != len(class_names):
        raise DataError(f"{len(class_names)} class names for {expected.shape[1]} classes")
    (found,) = open_runner(proto, Machine()).run({proto.graph.input[0].name: images})
    difference = float(np.abs(found - expected).max())
    if not difference <= PARITY_TOLERANCE:
        raise ModelError(
            f"the exported logits differ from PyTorch's by {difference:.2g}, "
            f"{PARITY_TOLERANCE:g} is allowed: nothing was written"
        )
    digest = save_model(proto, output)
    return ExportResult(
        seed=0,
        provider="cpu",
        checkpoint=ModelIdentity(path=str(checkpoint), sha256=checkpoint_sha256),
        model=ModelIdentity(path=str(output), sha256=digest),
        data=None
        if source is None
        else DataIdentity(path=str(source.path), sha256=source.sha256(), count=len(source)),
        preprocessing=None if preprocessing is None else Normalisation.of(preprocessing),
        parity_images=len(images),
        largest_difference=difference,
    )


def _import_arch(arch: str) -> Any:  # noqa: ANN401
    module_name, _, class_name = arch.rpartition(":")
    if not module_name or not class_name:
        raise UsageError(f"--arch is MODULE:CLASS or FILE.py:CLASS, not {arch!r}")
    try:
        if module_name.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(module_name).stem, module_name)
            if spec is None or spec.loader is None:
                raise UsageError(f"{module_name} is no Python file")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            with _working_directory_importable():
                module = importlib.import_module(module_name)
        if not hasattr(module, class_name):
            raise UsageError(f"--arch {arch}: {module_name} has no {class_name}")
        return getattr(module, class_name)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:  # importing runs the user's code
        raise UsageError(
            f"--arch {arch}: cannot import {module_name}: {type(error).__name__}: {error}"
        ) from error


@contextlib.contextmanager
def _working_directory_importable() -> Iterator[None]:
    here = os.getcwd()  # noqa: PTH109  sys.path holds strings
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _build(arch: str, constructor: Any, arguments: Mapping[str, object]) -> nn.Module:  # noqa: ANN401
    try:
        network = constructor(**arguments)
    except (Exception, SystemExit) as error:  # the architecture is the user's code
        raise UsageError(f"--arch {arch} cannot be built: {error}") from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"--arch {arch} is no torch.nn.Module")
    return network


def _class_tuple(constructor: Any, name: str) -> tuple[float, ...] | None:  # noqa: ANN401
    value = getattr(constructor, name, None)
    return tuple(value) if isinstance(value, tuple | list) else None


def _preprocessing(
    constructor: Any,  # noqa: ANN401
    size: tuple[int, int],
    channels: int,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> Preprocessing | None:
    means = tuple(mean) if mean is not None else _class_tuple(constructor, "mean")
    stds = tuple(std) if std is not None else _class_tuple(constructor, "std")
    if means is None and stds is None:
        return None
    if means is None or stds is None:
        raise UsageError("give both --mean and --std, or neither")
    if not {len(means), len(stds)} <= {1, channels}:
        raise UsageError(f"mean and std need 1 or {channels} values")
    if len(means) == 1:
        means *= channels
    if len(stds) == 1:
        stds *= channels
    return Preprocessing(size, means, stds)


def _parity_images(source: ImageSource | None, size: tuple[int, int], channels: int) -> FloatArray:
    if source is not None:
        every = max(1, len(source) // _PARITY_IMAGES)
        chosen = np.arange(0, len(source), every)[:_PARITY_IMAGES]
        batches = source.batches(
            size=size, channels=channels, batch_size=_PARITY_IMAGES, indices=chosen
        )
        found = next(batches, None)
        if found is None:
            raise DataError(f"{source.path} holds no readable picture to compare logits on")
        # The exporter takes a batch of one for a fixed size.
        return np.resize(found.images, (max(2, len(found.images)), *found.images.shape[1:]))
    signs, _ = render_signs(2, seed=0)
    colour = torch.from_numpy(np.ascontiguousarray(np.moveaxis(signs, -1, 1), np.float32) / 255)
    resized: FloatArray = nn.functional.interpolate(colour, size=size, mode="bilinear").numpy()
    return resized if channels == 3 else resized.mean(axis=1, keepdims=True)


def _exported(network: nn.Module, example: FloatArray, opset: int | None) -> onnx.ModelProto:
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        target = Path(folder) / "model.onnx"
        try:
            torch.onnx.export(
                network,
                (torch.from_numpy(example),),
                target,
                input_names=["images"],
                output_names=["logits"],
                opset_version=opset,
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                external_data=False,
                verbose=False,
            )
            proto = onnx.load_model(target)
        except Exception as error:  # the exporter wraps whatever a network's code raises
            raise ModelError(f"the export failed: {_first_line(_root_cause(error))}") from error
    # The exporter notes the source files of every node, with paths of the machine it ran on.
    for node in proto.graph.node:
        del node.metadata_props[:]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        del value.metadata_props[:]
    del proto.graph.metadata_props[:]
    return proto


def _logits(network: nn.Module, images: FloatArray) -> FloatArray:
    with torch.no_grad(), contextlib.redirect_stdout(sys.stderr):
        logits = network(torch.from_numpy(images))
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise ModelError("the network does not return logits of shape (N, classes)")
    return logits.numpy()


def _root_cause(error: BaseException) -> BaseException:
    """The first error of a chain; the exporter wraps it in advice for its own developers."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _first_line(error: BaseException) -> str:
    plain = _TERMINAL_CODES.sub("", str(error))
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
