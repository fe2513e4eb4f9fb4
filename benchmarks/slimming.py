"""What taking half of the channels out saves: bytes of the file and time of a run.

    HARDEN_GTSRB=FOLDER python -m benchmarks.slimming

The GTSRB victim and torchvision's VGG-11 with BatchNorm and random weights, each pruned with
`harden prune --channels ... --rewrite slim` of every other channel of the feature layer; slimmed
and original model run in turns on the same images.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import hardener
from benchmarks.interleaving import Times, circumstances, interleaved, shown
from benchmarks.setting import exported, gtsrb, machine, write_results
from benchmarks.subjects import of_torchvision
from hardener.model.classifier import Classifier, open_classifier, open_full
from hardener.model.runtime import Machine

VICTIM = "alexnet-gtsrb-badnets"
NETWORK = "vgg11_bn"
ROUNDS = 20
# Batch size: runs a round, so that a round takes long enough to be timed.
RUNS = {VICTIM: {1: 200, 256: 2}, NETWORK: {1: 2, 8: 1}}


@dataclass(frozen=True, eq=False)
class Saving:
    """A model before and after.

    Attributes:
        channels: taken out, and of how many.
        bytes: of the file, slimmed and original.
        times: for each batch size, slimmed and original.
    """

    channels: tuple[int, int]
    bytes: tuple[int, int]
    times: dict[int, Times]


def main() -> None:
    """Measures and writes `results/slimming`."""
    gtsrb()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        savings = {
            VICTIM: _saving(VICTIM, exported(VICTIM, work)),
            NETWORK: _saving(NETWORK, of_torchvision(NETWORK, work)),
        }
    document = {
        "machine": machine(),
        "runs": RUNS,
        "models": {
            name: {
                "channels": saving.channels,
                "bytes": saving.bytes,
                "time": {batch: times.document() for batch, times in saving.times.items()},
            }
            for name, saving in savings.items()
        },
    }
    write_results("slimming", document, _markdown(savings))


def _saving(name: str, model: Path) -> Saving:
    output = model.with_name("slimmed.onnx")
    channels = hardener.prune_channels(model, [0], output, dry_run=True).layer.channels
    pruned = range(0, channels, 2)
    hardener.prune_channels(model, pruned, output, rewrite="slim")
    times = {
        batch: _timed(open_classifier(output), open_classifier(model), batch, runs)
        for batch, runs in RUNS[name].items()
    }
    sizes = (output.stat().st_size, model.stat().st_size)
    return Saving((len(pruned), channels), sizes, times)


def _timed(slimmed: Classifier, original: Classifier, batch: int, runs: int) -> Times:
    shape = (batch, original.preprocessing.channels, *original.preprocessing.size)
    images = np.random.default_rng(0).random(shape, np.float32)
    feeds = original.feeds(images)
    runners = [open_full(c.proto, c.signature, Machine()) for c in (slimmed, original)]

    def run(which: int) -> None:
        for _ in range(runs):
            runners[which].run(feeds)

    for which in (0, 1):
        run(which)
    return interleaved(lambda _: run(0), lambda _: run(1), ROUNDS)


def _markdown(savings: dict[str, Saving]) -> str:
    last = list(list(savings.values())[-1].times.values())[-1]
    lines = [
        "# Half of the channels taken out",
        "",
        f"`--rewrite slim` against the original, {machine()['cores']} cores "
        f"({machine()['processor']}), {ROUNDS} interleaved rounds, 95 % intervals. "
        f"{circumstances(last)}",
        "",
        "| model | channels out | MB before | after | ratio |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, saving in savings.items():
        after, before = saving.bytes
        out, channels = saving.channels
        cells = [name, f"{out} of {channels}", f"{before / 1e6:.2f}", f"{after / 1e6:.2f}"]
        lines.append(f"| {' | '.join(cells)} | {after / before:.3f} |")
    lines += [
        "",
        "| model | batch | ms before | after | ratio | by processor seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, saving in savings.items():
        for batch, times in saving.times.items():
            after, before = np.median(times.wall, axis=1) / RUNS[name][batch] * 1000
            cells = [name, str(batch), f"{before:.2f}", f"{after:.2f}"]
            cells += [shown(times.wall_ratio), shown(times.processor_ratio)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\nThe targets are ratios under 1.\n"


if __name__ == "__main__":
    main()
