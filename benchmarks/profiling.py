"""What the norms cost: profiling against plain inference.

    HARDEN_GTSRB=FOLDER python -m benchmarks.profiling

The code that `harden scan` profiles with against the code that `harden bench` counts with, on
the same images; decoding is in both.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.interleaving import Times, circumstances, interleaved, shown
from benchmarks.setting import exported, gtsrb, machine, write_results
from benchmarks.subjects import resnet18, write_noise
from hardener.data.settings import CLEAN
from hardener.measuring.quality import Probe, measure
from hardener.model.classifier import open_classifier, open_full
from hardener.model.runtime import Machine
from hardener.model.topology import find_feature_layer
from hardener.scanning.activations import profile

VICTIM = "alexnet-gtsrb-badnets"
PROBES = {CLEAN: Probe()}
ROUNDS = 12


def main() -> None:
    """Measures and writes `results/profiling`."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        victim, network = exported(VICTIM, work), resnet18(work)
        write_noise(work / "large.npz", 100, 224, 1000, seed=0)
        times = {
            f"{VICTIM}, 32×32": _timed(victim, gtsrb() / "gtsrb32-valid.zip"),
            "ResNet-18, 224×224": _timed(network, work / "large.npz"),
        }
    document: dict[str, Any] = {
        "machine": machine(),
        "time": {name: found.document() for name, found in times.items()},
    }
    write_results("profiling", document, _markdown(times))


def _timed(model: Path, data: Path) -> Times:
    """Both ways as the stages go them, session included; only reading the model is left out."""
    classifier = open_classifier(model)
    layer = find_feature_layer(classifier.proto, classifier.signature, classifier.model.shapes)
    source = classifier.open_data(data)

    def plain(_: int) -> None:
        runner = open_full(classifier.proto, classifier.signature, Machine())
        measure(classifier, runner, source, PROBES)

    def with_norms(_: int) -> None:
        profile(classifier, layer, source, PROBES, machine=Machine())

    plain(0)
    with_norms(0)
    return interleaved(with_norms, plain, ROUNDS)


def _markdown(times: dict[str, Times]) -> str:
    last = list(times.values())[-1]
    lines: Sequence[str] = [
        "# What the norms cost",
        "",
        "Three norms of every channel of the feature layer, against plain inference of the same "
        f"images: {machine()['cores']} cores ({machine()['processor']}), {ROUNDS} interleaved "
        f"rounds, decoding included, 95 % intervals. {circumstances(last)}",
        "",
        "| model | seconds plain | with norms | ratio | ratio by processor seconds |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {sorted(t.wall[1])[ROUNDS // 2]:.2f} | "
            f"{sorted(t.wall[0])[ROUNDS // 2]:.2f} | "
            f"{shown(t.wall_ratio)} | {shown(t.processor_ratio)} |"
            for name, t in times.items()
        ),
        "",
        "The target is at most 1.05.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
