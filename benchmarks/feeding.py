"""Whether decoding keeps up: a folder of JPEG files against the same images in memory.

    python -m benchmarks.feeding

ResNet-18 at 224x224 looks at JPEG files of 300 to 500 pixels, once decoded while it runs and
once from memory, already decoded and resized; everything behind the decoder is the same.
"""

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.interleaving import circumstances, interleaved, shown
from benchmarks.setting import machine, write_results
from benchmarks.subjects import resnet18, write_photographs
from hardener.arrays import AnyArray, IntArray
from hardener.data.images import ImageSource
from hardener.measuring.quality import Counts, Probe, measure
from hardener.model.classifier import Classifier, open_classifier, open_full
from hardener.model.runtime import Machine

PICTURES, ROUNDS, PICTURES_A_ROUND = 1000, 14, 200
SEED = 0


def main() -> None:
    """Measures and writes `results/feeding`."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        mean_bytes = write_photographs(work / "photographs", PICTURES, SEED)
        classifier = open_classifier(resnet18(work))
        streamed = classifier.open_data(work / "photographs")
        kept = _in_memory(classifier, streamed)
        runner = open_full(classifier.proto, classifier.signature, Machine())

        def look(source: ImageSource, round_: int) -> Counts:
            rng = np.random.default_rng(SEED + round_ + 1)
            indices = rng.choice(PICTURES, PICTURES_A_ROUND, replace=False)
            probes = {"clean": Probe()}
            return measure(classifier, runner, source, probes, indices=indices)["clean"]

        if look(streamed, 0) != look(kept, 0):
            raise SystemExit("streamed and kept images give different answers")
        times = interleaved(lambda r: look(kept, r), lambda r: look(streamed, r), ROUNDS)
    per_second = PICTURES_A_ROUND / np.median(times.wall, axis=1)
    document = {
        "machine": machine(),
        "model": "torchvision resnet18, 224x224, random weights",
        "pictures": PICTURES,
        "mean_file_bytes": mean_bytes,
        "batch_size": classifier.batch_size,
        "pictures_a_round": PICTURES_A_ROUND,
        "images_per_s": {"in memory": per_second[0], "streamed": per_second[1]},
        **times.document(),
    }
    lines = [
        "# Decoding beside inference",
        "",
        f"ResNet-18 at 224×224 on {PICTURES} JPEG files of 300 to 500 pixels a side (mean "
        f"{mean_bytes / 1000:.0f} kB, quality 90), {machine()['cores']} cores "
        f"({machine()['processor']}), batches of {classifier.batch_size}, {ROUNDS} interleaved "
        f"rounds of {PICTURES_A_ROUND} images. {circumstances(times)}",
        "",
        "| images | a second (median) |",
        "| --- | --- |",
        f"| in memory | {per_second[0]:.1f} |",
        f"| streamed | {per_second[1]:.1f} |",
        "",
        "Throughput of the streamed images against those in memory, with 95 % interval: "
        f"{shown(times.wall_ratio)}; by processor seconds {shown(times.processor_ratio)}. The "
        "target is at least 0.9.",
    ]
    write_results("feeding", document, "\n".join(lines) + "\n")


def _in_memory(classifier: Classifier, source: ImageSource) -> ImageSource:
    """The same source with every picture decoded and resized beforehand."""
    decoded = [np.rint(batch.images * 255).astype(np.uint8) for batch in classifier.batches(source)]
    pixels = np.concatenate(decoded)

    def decode(
        indices: IntArray, size: tuple[int, int], channels: int, batch_size: int
    ) -> Iterator[tuple[IntArray, Sequence[AnyArray | str]]]:
        del size, channels
        for start in range(0, len(indices), batch_size):
            positions = indices[start : start + batch_size]
            yield positions, list(pixels[positions])

    return dataclasses.replace(source, _decode=decode)


if __name__ == "__main__":
    main()
