"""Mutated pictures, archives, tables, triggers, results and checkpoints, and who reads them."""

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.random import Generator
from PIL import Image
from torch import nn

from benchmarks.fuzzing.byte_mutations import mutate_bytes
from benchmarks.fuzzing.trials import Stage, require
from hardener.cli.parsers import lines_of
from hardener.data.images import open_images
from hardener.documents.identity import DataIdentity, Layer, ModelIdentity, Normalisation
from hardener.documents.scan import ChannelEvidence, LabelEvidence, MaxMean, NormSummary, ScanResult
from hardener.model.checkpoints import load_weights
from hardener.policy import read_policy
from hardener.scanning.saved import (
    load_synthetic_triggers,
    load_working_triggers,
    open_scan,
    trigger_digest,
)
from hardener.triggers.additive import ADDITIVE, AdditiveTrigger
from hardener.triggers.families import FAMILIES
from hardener.triggers.patch import PATCH, Trigger, load_trigger
from hardener.triggers.warp import WARP, Warp

_SIDE = 16
_CLASSES = 3
_BAD_MEMBERS = (
    *("../0/a.png", "/0/a.png", "0/../../a.png", "a.png", "0\\a.png", "\x1b/a.png"),
    *("9" * 20 + "/a.png", "0/" + "a" * 300 + ".png", "1/a.png/", "0/\u202ea.png"),
)


@dataclass(frozen=True)
class DataSeed:
    """Files to start from, the one to mutate, and what reads them.

    Attributes:
        files: relative path to content.
        mutated: path of the file to change.
        texts: whether texts from strangers are put into it as well.
        read: the library call; raises HardenError, or checks what it got.
    """

    files: dict[str, bytes]
    mutated: str
    texts: Sequence[bytes]
    read: Callable[[Path], None]


def data_seeds() -> dict[str, DataSeed]:
    """Name to seed."""
    seeds: dict[str, DataSeed] = {}
    for form in ("PNG", "JPEG", "GIF", "BMP", "PPM", "TIFF", "WEBP"):
        suffix = "ppm" if form == "PPM" else form.lower()
        files = {f"d/{k}/{i}.{suffix}": _picture(form, k + i) for k in range(2) for i in range(1)}
        seeds[f"picture {form}"] = DataSeed(files, f"d/0/0.{suffix}", (), _images("d"))
    members = {f"{k}/{i}.png": _picture("PNG", k + i) for k in range(_CLASSES) for i in range(2)}
    seeds["zip"] = DataSeed(
        {"d.zip": _zip(members)}, "d.zip", (b"../", b"/x/", b"\0"), _images("d.zip")
    )
    rows = "path,label\n" + "".join(f"{name},{name[0]}\n" for name in members)
    seeds["csv"] = DataSeed(
        members | {"d.csv": rows.encode()},
        "d.csv",
        (b"../", b"/etc/passwd,0\n", b"\0", b'"', b"\n", b",", b"\xff\xfe", b"9" * 30, b"-1"),
        _images("d.csv"),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (6, _SIDE, _SIDE, 3), np.uint8)
    labels = np.arange(6) % _CLASSES
    for name, save in (("npz", np.savez), ("npz, deflated", np.savez_compressed)):
        buffer = io.BytesIO()
        save(buffer, images=pixels, labels=labels)
        texts = (b"'|O'", b"True", b"(9999999999,", b"(-1,", b"<f8", b"|u1")
        seeds[name] = DataSeed({"d.npz": buffer.getvalue()}, "d.npz", texts, _images("d.npz"))
    triggers = [_trigger(label) for label in range(_CLASSES)]
    seeds["trigger"] = DataSeed({"t.npz": PATCH.npz(triggers[1])}, "t.npz", (b"'|O'",), _trigger_is)
    scan = {f"triggers/label-{t.label:02d}.npz": PATCH.npz(t) for t in triggers}
    faint = [_additive(label) for label in range(_CLASSES)]
    scan |= {f"triggers/additive-{t.label:02d}.npz": ADDITIVE.npz(t) for t in faint}
    warps = [Warp(np.full((2, 4, 4), t.label / 16, np.float32), t.label) for t in triggers]
    scan |= {f"triggers/warp-{warp.label:02d}.npz": WARP.npz(warp) for warp in warps}
    scan["scan.json"] = _scan(triggers, faint, warps).to_json().encode()
    numbers = (b"NaN", b"1e999", b"null", b"-1", b"[" * 2000, b'"\\ud800"', b"9" * 400, b"true")
    seeds["scan.json"] = DataSeed(scan, "scan.json", numbers, _scan_is)
    seeds["scan's trigger"] = DataSeed(scan, "triggers/label-00.npz", (), _scan_is)
    seeds["scan's additive trigger"] = DataSeed(scan, "triggers/additive-00.npz", (), _scan_is)
    seeds["scan's warp"] = DataSeed(scan, "triggers/warp-00.npz", (), _scan_is)
    state = _network().state_dict()
    seeds["safetensors"] = DataSeed(
        {"w.safetensors": safetensors.torch.save(state)},
        "w.safetensors",
        (b"9999999999", b"F64", b"-1", b'"BOOL"', b"[]"),
        _weights("w.safetensors"),
    )
    for zipped in (True, False):
        buffer = io.BytesIO()
        torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
        seeds[f"pt, {'zip' if zipped else 'old form'}"] = DataSeed(
            {"w.pt": buffer.getvalue()},
            "w.pt",
            (b"cos\nsystem\n", b"posix", b"builtins", b"eval", b"\x80\x02", b"R."),
            _weights("w.pt"),
        )
    policy = b"[preprocessing]\nsize = [32, 32]\nmean = [0.5, 0.5, 0.5]\nstd = [0.2, 0.2, 0.2]\n"
    seeds["policy"] = DataSeed(
        {"harden.toml": policy},
        "harden.toml",
        (b"[" * 3000, b"nan", b"inf", b"true", b"="),
        _policy_is,
    )
    seeds["class names"] = DataSeed(
        {"n.txt": "a\nb\nℓ\n".encode()}, "n.txt", (b"\xff",), _names_are
    )
    return seeds


def mutated_data(rng: Generator, seed: DataSeed) -> tuple[str, bytes]:
    """The seed's file mutated; the name of the mutation."""
    content = seed.files[seed.mutated]
    if seed.texts and rng.random() < 0.35:
        text = seed.texts[int(rng.integers(len(seed.texts)))]
        place = int(rng.integers(len(content) + 1))
        kept = content[place + (len(text) if rng.random() < 0.5 else 0) :]
        return "text put in", content[:place] + text + kept
    if seed.mutated.endswith("zip") and rng.random() < 0.3:
        return "member renamed", _renamed_member(rng, content)
    return mutate_bytes(rng, content)


def data_case(seed: DataSeed, folder: Path) -> Callable[[Stage], None]:
    """What reads the mutated files that lie in `folder`."""
    return lambda _stage: seed.read(folder)


def _images(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        source = open_images(folder / name)
        source.sha256()
        seen = 0
        for batch in source.batches(size=(_SIDE, _SIDE), channels=3, batch_size=4):
            require(batch.images.shape[1:] == (3, _SIDE, _SIDE), "images of another shape")
            require(batch.images.dtype == np.float32, "images of another type")
            require(bool(np.isfinite(batch.images).all()), "pixels that are not finite")
            require(0 <= batch.images.min() <= batch.images.max() <= 1, "pixels beyond 0 to 1")
            require(bool((batch.labels >= 0).all()), "a label below 0")
            require(bool((batch.labels == source.labels[batch.indices]).all()), "labels moved")
            seen += len(batch.images)
        require(seen + len(source.unreadable) == len(source), "images got lost")

    return read


def _trigger_is(folder: Path) -> None:
    trigger = load_trigger(folder / "t.npz")
    if trigger.pattern.shape == (3, _SIDE, _SIDE):
        stamped = trigger.stamp(np.full((1, 3, _SIDE, _SIDE), 0.5, np.float32))
        require(0 <= stamped.min() <= stamped.max() <= 1, "stamped pixels beyond 0 to 1")


def _scan_is(folder: Path) -> None:
    saved = open_scan(folder)
    scanned = saved.result
    known = {e.of_kind(kind).trigger_sha256 for e in scanned.searched for kind in FAMILIES}
    for trigger in (
        *load_synthetic_triggers(saved),
        *load_working_triggers(saved, 0.0),
    ):
        require(trigger_digest(trigger) in known, "another trigger was read")
    scanned.to_json()


def _weights(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        network = _network()
        load_weights(network, folder / name)
        require(
            {k: v.shape for k, v in network.state_dict().items()}
            == {k: v.shape for k, v in _network().state_dict().items()},
            "weights of another shape",
        )

    return read


def _policy_is(folder: Path) -> None:
    fields = read_policy(folder / "harden.toml").preprocessing.given()
    require(set(fields) <= {"size", "mean", "std"}, "unknown fields")


def _names_are(folder: Path) -> None:
    require(all("\n" not in name for name in lines_of(folder / "n.txt")), "a name of two lines")


def _picture(form: str, seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=form)
    return buffer.getvalue()


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _renamed_member(rng: Generator, content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    names = list(members)
    old = names[int(rng.integers(len(names)))]
    members[_BAD_MEMBERS[int(rng.integers(len(_BAD_MEMBERS)))]] = members.pop(old)
    return _zip(members)


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))


def _trigger(label: int) -> Trigger:
    mask = np.zeros((1, _SIDE, _SIDE), np.float32)
    mask[:, :3, :3] = 1
    return Trigger(mask, np.full((3, _SIDE, _SIDE), label / _CLASSES, np.float32), label)


def _additive(label: int) -> AdditiveTrigger:
    return AdditiveTrigger(np.full((3, _SIDE, _SIDE), label / _CLASSES, np.float32), label)


def _scan(
    triggers: Sequence[Trigger], faint: Sequence[AdditiveTrigger], warps: Sequence[Warp]
) -> ScanResult:
    spread = MaxMean(max=1.0, mean=0.5)
    norms = NormSummary(l1=spread, l2=spread, linf=spread)
    return ScanResult(
        seed=0,
        provider="cpu",
        model=ModelIdentity(path="m.onnx", sha256="0" * 64),
        data=DataIdentity(path="d.zip", sha256="0" * 64, count=6),
        verdict="backdoored",
        score=0.9,
        targets=(0,),
        suspect=0,
        accuracy=0.9,
        preprocessing=Normalisation(size=(_SIDE, _SIDE), mean=(0.5,) * 3, std=(0.2,) * 3),
        layer=Layer(name="feature", channels=6, axis=1),
        labels=tuple(
            LabelEvidence(
                label=trigger.label,
                kind="patch",
                mask_l1=trigger.mask_l1,
                anomaly_index=1.0,
                relative_size=1.0,
                trigger_success_rate=0.5,
                trigger_sha256=trigger_digest(trigger),
                additive={
                    "perturbation_l2": beside.l2,
                    "anomaly_index": 1.0,
                    "relative_size": 1.0,
                    "trigger_success_rate": 0.5,
                    "trigger_sha256": trigger_digest(beside),
                },
                warp={
                    "displacement_rms": warp.rms,
                    "anomaly_index": 1.0,
                    "relative_size": 1.0,
                    "trigger_success_rate": 0.5,
                    "trigger_sha256": trigger_digest(warp),
                },
            )
            for trigger, beside, warp in zip(triggers, faint, warps, strict=True)
        ),
        norms={"clean": norms, "clean+syn": norms},
        channels=tuple(
            ChannelEvidence(channel=c, linf_clean=1.0, linf_triggered=2.0, gap=1.0)
            for c in range(6)
        ),
        reasons=("it is small",),
    )
