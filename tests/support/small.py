"""A small model with a scan and images of its own, for commands that need all three."""

from pathlib import Path
from typing import cast

import numpy as np
import onnx
from support.graphs import saved

from hardener.documents.identity import DataIdentity, Layer, Normalisation
from hardener.documents.scan import LabelEvidence, ScanResult, Verdict
from hardener.files import sha256_of
from hardener.model.classifier import open_classifier, open_full
from hardener.model.runtime import Machine
from hardener.model.topology import find_feature_layer
from hardener.scanning.saved import trigger_path
from hardener.triggers.additive import ADDITIVE, AdditiveTrigger
from hardener.triggers.patch import Trigger, save_trigger
from hardener.triggers.warp import WARP, Warp

WHITE = 3
"""What the small model takes a white image for."""


def write_scan_of(model: Path, folder: Path, verdict: str = "backdoored") -> None:
    """A finished scan of a small model, with a trigger that whitens the whole image."""
    trigger = Trigger(np.ones((1, 8, 8), np.float32), np.ones((3, 8, 8), np.float32), WHITE)
    whitening = AdditiveTrigger(np.ones((3, 8, 8), np.float32), WHITE)
    path, beside = trigger_path(folder, WHITE), trigger_path(folder, WHITE, "additive")
    save_trigger(trigger, path)
    beside.write_bytes(ADDITIVE.npz(whitening))
    still, third = Warp(np.zeros((2, 2, 2), np.float32), WHITE), trigger_path(folder, WHITE, "warp")
    third.write_bytes(WARP.npz(still))
    evidence = LabelEvidence(
        label=WHITE,
        kind="patch",
        mask_l1=64,
        anomaly_index=3,
        relative_size=0.1,
        trigger_success_rate=1,
        trigger_sha256=sha256_of(path),
        additive={
            "perturbation_l2": whitening.l2,
            "anomaly_index": 3,
            "relative_size": 0.1,
            "trigger_success_rate": 1,
            "trigger_sha256": sha256_of(beside),
        },
        warp={
            "displacement_rms": 0,
            "anomaly_index": 0,
            "relative_size": 1,
            "trigger_success_rate": 0,
            "trigger_sha256": sha256_of(third),
        },
    )
    opened = open_classifier(model)
    layer = find_feature_layer(opened.proto, opened.signature, opened.model.shapes, "feature")
    ScanResult(
        seed=0,
        provider="cpu",
        model=opened.identity,
        data=DataIdentity(path="d.npz", sha256="", count=1),
        verdict=cast(Verdict, verdict),
        score=0.1 if verdict == "clean" else 0.9,
        targets=() if verdict == "clean" else (WHITE,),
        suspect=WHITE,
        accuracy=0.9,
        preprocessing=Normalisation.of(opened.preprocessing),
        layer=Layer(name=layer.name, channels=layer.channels, axis=layer.axis),
        labels=(evidence,),
        norms={},
        channels=(),
        reasons=(),
    ).write(folder / "scan.json")


def scanned_and_labelled(proto: onnx.ModelProto, tmp_path: Path) -> tuple[Path, Path, Path]:
    """The model, its scan, and images that it labels itself, so that it is never wrong."""
    model = saved(proto, tmp_path / "m.onnx")
    write_scan_of(model, tmp_path / "s")
    return model, tmp_path / "s", labelled_by(model, tmp_path)


def labelled_by(model: Path, tmp_path: Path) -> Path:
    """Images that a model labels itself, so that it is never wrong."""
    opened = open_classifier(model)
    pixels = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)
    images = np.moveaxis(pixels, -1, 1).astype(np.float32) / np.float32(255)
    runner = open_full(opened.proto, opened.signature, Machine())
    labels = runner.run(opened.feeds(images))[0].argmax(axis=1)
    np.savez(tmp_path / "d.npz", images=pixels, labels=labels)
    return tmp_path / "d.npz"
