"""What speed is measured on, made anew on every run: a ResNet-18, photograph-like JPEG files."""

from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image

import hardener
from hardener.arrays import FloatArray

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CLASSES = 10
# Cells across the picture and their contrast: the falling spectrum of photographs.
_FIELDS = ((3, 90.0), (12, 45.0), (48, 25.0), (160, 14.0))
_GRAIN = 5.0


def resnet18(work: Path) -> Path:
    """Torchvision's ResNet-18 for 224x224 images with random weights, as ONNX in `work`."""
    return of_torchvision("resnet18", work)


def of_torchvision(name: str, work: Path) -> Path:
    """One of torchvision's models for 224x224 images with random weights, as ONNX in `work`."""
    torch.manual_seed(0)
    checkpoint, model = work / f"{name}.pt", work / f"{name}.onnx"
    torch.save(torchvision.models.get_model(name, weights=None).state_dict(), checkpoint)
    hardener.export(
        checkpoint,
        f"torchvision.models:{name}",
        model,
        input_size=(3, 224, 224),
        mean=MEAN,
        std=STD,
    )
    return model


def write_photographs(folder: Path, count: int, seed: int) -> int:
    """Writes JPEG files of 300 to 500 pixels a side, quality 90, into class folders.

    Returns:
        Their mean size in bytes.
    """
    rng = np.random.default_rng(seed)
    total = 0
    for number in range(count):
        width, height = (int(side) for side in rng.integers(300, 501, 2))
        pixels = 128 + rng.normal(0, _GRAIN, (height, width, 3)).astype(np.float32)
        for cells, contrast in _FIELDS:
            pixels += contrast * _field(rng, cells, width, height)
        path = folder / f"{number % _CLASSES:05d}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=90)
        total += path.stat().st_size
    return total // count


def write_labelled_photographs(folder: Path, count: int, classes: int, seed: int) -> Path:
    """Writes the same pictures and a list `images.csv` of them with random labels.

    Returns:
        The list.
    """
    write_photographs(folder, count, seed)
    pictures = sorted(folder.glob("*/*.jpg"))
    labels = np.random.default_rng(seed).integers(0, classes, len(pictures))
    rows = [
        f"{picture.relative_to(folder)},{label}"
        for picture, label in zip(pictures, labels, strict=True)
    ]
    listed = folder / "images.csv"
    listed.write_text("\n".join(["path,label", *rows]) + "\n", encoding="utf-8")
    return listed


def write_noise(path: Path, count: int, side: int, classes: int, seed: int) -> None:
    """Writes `count` random images as an `.npz`, in little memory."""
    rng = np.random.default_rng(seed)
    images = np.lib.format.open_memmap(
        path.with_suffix(".npy"), "w+", np.uint8, (count, side, side, 3)
    )
    for start in range(0, count, 1000):
        part = images[start : start + 1000]
        part[:] = rng.integers(0, 256, part.shape, np.uint8)
    np.savez(path, images=images, labels=rng.integers(0, classes, count))
    path.with_suffix(".npy").unlink()


def _field(rng: np.random.Generator, cells: int, width: int, height: int) -> FloatArray:
    """Random colours (height, width, 3) that change smoothly from cell to cell."""
    coarse = rng.normal(size=(cells, cells, 3)).astype(np.float32)
    channels = [
        np.asarray(
            Image.fromarray(coarse[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
        )
        for channel in range(3)
    ]
    return np.stack(channels, axis=-1)
