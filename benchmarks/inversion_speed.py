"""Our whole scan against the plain search for triggers, label after label.

    HARDEN_GTSRB=FOLDER python -m benchmarks.inversion_speed

The plain search is Neural Cleanse as BackdoorBench configures it: for each label 80 epochs over
1,742 images in batches of 256, Adam at 0.1, a cost that goes up and down with the success rate,
and an early stop. A few labels are timed, the target among them; the others are taken to need
what the timed ones need. `harden scan` is a process of its own, from nothing to `scan.json`, and
runs before and after, so that a machine that grows slower shows.

Source: Wang et al. 2019 (Neural Cleanse), section IV; Wu et al. 2022 (BackdoorBench) for the
settings.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.setting import commit, exported, gtsrb, machine, write_results
from hardener.arrays import FloatArray
from hardener.cores import available_cores
from hardener.data.splits import stratified_sample
from hardener.documents.scan import ScanResult
from hardener.model.classifier import open_classifier
from hardener.model.gradients import differentiable
from hardener.scanning.saved import load_scan

VICTIM, TARGET = "alexnet-gtsrb-badnets", 8
OTHERS, SEED = 3, 0
LEAST_RATIO, MOST_SECONDS = 50, 45


@dataclass(frozen=True)
class PlainSearch:
    """BackdoorBench's configuration of Neural Cleanse."""

    epochs: int = 80
    images: int = 1742
    batch: int = 256
    learning_rate: float = 0.1
    initial_cost: float = 1e-3
    cost_factor: float = 2.0
    wanted_success: float = 0.98
    patience: int = 5
    """Epochs in a row above or below the wanted success that change the cost."""
    stop_patience: int = 25
    """Epochs without a smaller mask that end the search, once the cost went both ways."""
    smaller: float = 0.99


@dataclass(frozen=True)
class Timed:
    """What the plain search found for one label.

    Attributes:
        mask_l1: of the smallest mask that worked; not finite where none did.
        success: attack success rate in the epoch that found it.
    """

    label: int
    seconds: float
    epochs: int
    mask_l1: float
    success: float


def main() -> None:
    """Measures and writes `results/inversion_speed`."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        model, data = exported(VICTIM, work), gtsrb() / "gtsrb32-valid.zip"
        first, scanned = _scanned(work / "first", model, data)
        classifier = open_classifier(model)
        source = classifier.open_data(data)
        plain = PlainSearch()
        images = classifier.images_of(source, stratified_sample(source.labels, plain.images, SEED))
        inputs = classifier.preprocessing.apply(images)
        network = differentiable(classifier.proto, classifier.signature, inputs[:4])
        others = [k for k in range(classifier.signature.classes) if k != TARGET]
        drawn = np.random.default_rng(SEED).choice(others, OTHERS, replace=False).tolist()
        mean, std = (
            torch.tensor(values).view(-1, 1, 1)
            for values in (classifier.preprocessing.mean, classifier.preprocessing.std)
        )
        timed = [_search(network, images, (mean, std), label, plain) for label in (TARGET, *drawn)]
        last, again = _scanned(work / "last", model, data)
    seconds = {"first": first, "last": last}
    document = _document(timed, seconds, scanned, len(others) + 1)
    document |= {"load_before": load, "identical": _findings(again) == _findings(scanned)}
    write_results("inversion_speed", document, _markdown(document))


def _scanned(work: Path, model: Path, data: Path) -> tuple[float, ScanResult]:
    """Seconds and outcome of a whole scan that finds nothing of an earlier one."""
    code = "from hardener.entry import main; main()"
    command = [sys.executable, "-c", code, "scan", str(model), "--data", str(data)]
    command += ["-o", str(work), "--provider", "cpu", "--quiet"]
    began = time.perf_counter()
    subprocess.run(
        command,
        env={**os.environ, "XDG_CACHE_HOME": str(work)},
        stdout=subprocess.DEVNULL,
        check=False,
    )
    return time.perf_counter() - began, load_scan(work)


def _findings(scanned: ScanResult) -> dict[str, Any]:
    return scanned.model_dump(exclude={"created"})


def _search(
    network: nn.Module,
    images: FloatArray,
    normalisation: tuple[Tensor, Tensor],
    label: int,
    plain: PlainSearch,
) -> Timed:
    """The plain search for one label, on images (N, C, H, W) in [0, 1]."""
    torch.set_num_threads(available_cores())
    generator = torch.Generator().manual_seed(SEED)
    mean, std = normalisation
    pool = torch.from_numpy(images)
    mask = torch.rand((1, 1, *pool.shape[2:]), generator=generator).requires_grad_()
    pattern = torch.rand((1, *pool.shape[1:]), generator=generator).requires_grad_()
    optimiser = torch.optim.Adam([mask, pattern], lr=plain.learning_rate, betas=(0.5, 0.9))
    cost, best, success_of_best = plain.initial_cost, float("inf"), 0.0
    above = below = idle = epochs = 0
    went_up = went_down = False
    began = time.perf_counter()
    for _epoch in range(plain.epochs):
        epochs += 1
        hits, sizes = 0, []
        for chosen in torch.split(torch.randperm(len(pool), generator=generator), plain.batch):
            share, colour = (part.tanh() / 2 + 0.5 for part in (mask, pattern))
            shown = (1 - share) * pool[chosen] + share * colour
            logits = network((shown - mean) / std)
            goal = torch.full((len(chosen),), label)
            size = share.sum()
            total = nn.functional.cross_entropy(logits, goal) + cost * size
            optimiser.zero_grad()
            torch.autograd.backward(total)
            optimiser.step()
            hits += int((logits.argmax(1) == goal).sum())
            sizes.append(float(size.detach()))
        success, size_now = hits / len(pool), statistics.fmean(sizes)
        before = best
        if success >= plain.wanted_success and size_now < best:
            best, success_of_best = size_now, success
        idle = 0 if best < plain.smaller * before else idle + (best < float("inf"))
        if went_up and went_down and idle >= plain.stop_patience:
            break
        works = success >= plain.wanted_success
        above, below = (above + 1, 0) if works else (0, below + 1)
        if above >= plain.patience:
            cost, above, went_up = cost * plain.cost_factor, 0, True
        elif below >= plain.patience:
            cost, below, went_down = cost / plain.cost_factor**1.5, 0, True
    return Timed(label, time.perf_counter() - began, epochs, best, success_of_best)


def _document(
    timed: Sequence[Timed], seconds: dict[str, float], scanned: ScanResult, labels: int
) -> dict[str, Any]:
    target, others = timed[0], timed[1:]
    whole = target.seconds + (labels - 1) * statistics.fmean(t.seconds for t in others)
    usual = statistics.median(t.mask_l1 for t in others)
    return {
        "machine": machine(),
        "commit": commit(),
        "victim": VICTIM,
        "labels": labels,
        "plain": {"settings": asdict(PlainSearch()), "timed": [asdict(t) for t in timed]},
        "plain_seconds": whole,
        "plain_relative_size": target.mask_l1 / usual,
        "scan_seconds": seconds,
        "verdict": scanned.verdict,
        "targets": list(scanned.targets),
        "ratio": whole / statistics.fmean(seconds.values()),
    }


def _markdown(found: dict[str, Any]) -> str:
    seconds = found["scan_seconds"]
    lines = [
        "# A scan against the plain search",
        "",
        f"`{found['victim']}`, {found['labels']} labels, {found['machine']['cores']} cores and "
        f"threads ({found['machine']['processor']}), load before the start "
        f"{found['load_before']:.1f}.",
        "",
        "| label | seconds | epochs | mask, pixels | attack success |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {t['label']}{' (target)' if t['label'] == TARGET else ''} | {t['seconds']:.0f} | "
            f"{t['epochs']} | {t['mask_l1']:.1f} | {100 * t['success']:.1f} % |"
            for t in found["plain"]["timed"]
        ),
        "",
        f"The plain search would take {found['plain_seconds']:.0f} s for all labels; the "
        f"target's mask is {found['plain_relative_size']:.2f} of the others' median. `harden scan` "
        f"took {seconds['first']:.1f} s before it and {seconds['last']:.1f} s after it (target: "
        f"at most {MOST_SECONDS}), says {found['verdict']} and names "
        f"{', '.join(map(str, found['targets']))}. That is {found['ratio']:.0f} times as fast "
        f"(target: at least {LEAST_RATIO}). Both scans found "
        f"{'exactly the same' if found['identical'] else 'NOT the same'}.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
