"""Whether decoding keeps up: a folder of JPEG files against the same images in memory.

    python -m benchmarks.feeding

ResNet-18 at 224x224 looks at JPEG files of 300 to 500 pixels, once decoded while it runs and
once from memory, already decoded and resized; everything behind the decoder is the same. Rounds
take turns in order.
"""

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.setting import machine, write_results
from benchmarks.subjects import resnet18, write_photographs
from hardener.arrays import AnyArray, IntArray
from hardener.data.images import ImageSource
from hardener.measuring.intervals import paired_ratio
from hardener.measuring.quality import Probe, measure
from hardener.model.classifier import Classifier, open_classifier, open_full

PICTURES, ROUNDS, PICTURES_A_ROUND = 1000, 16, 250
SEED = 0


def main() -> None:
    """Measures and writes `results/feeding`."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        mean_bytes = write_photographs(work / "photographs", PICTURES, SEED)
        classifier = open_classifier(resnet18(work))
        streamed = classifier.open_data(work / "photographs")
        kept = _in_memory(classifier, streamed)
        runner = open_full(classifier.proto, classifier.signature, "cpu")
        rng = np.random.default_rng(SEED)
        times: dict[str, list[float]] = {"streamed": [], "in memory": []}
        sources = {"streamed": streamed, "in memory": kept}
        for round_ in range(ROUNDS):
            indices = np.sort(rng.choice(PICTURES, PICTURES_A_ROUND, replace=False))
            counts = []
            for name in list(sources) if round_ % 2 else list(sources)[::-1]:
                start = time.perf_counter()
                counts.append(measure(classifier, runner, sources[name], PROBES, indices=indices))
                times[name].append(time.perf_counter() - start)
            if counts[0] != counts[1]:
                raise SystemExit("streamed and kept images give different answers")
    ratio = paired_ratio(np.array(times["in memory"]), np.array(times["streamed"]), SEED)
    per_second = {name: PICTURES_A_ROUND / np.median(values) for name, values in times.items()}
    document = {
        "machine": machine(),
        "model": "torchvision resnet18, 224x224, random weights",
        "pictures": PICTURES,
        "mean_file_bytes": mean_bytes,
        "batch_size": classifier.batch_size,
        "rounds": ROUNDS,
        "pictures_a_round": PICTURES_A_ROUND,
        "seconds": times,
        "images_per_s": per_second,
        "throughput_ratio": ratio.model_dump(),
    }
    lines = [
        "# Decoding beside inference",
        "",
        f"ResNet-18 at 224×224 on {PICTURES} JPEG files of 300 to 500 pixels a side (mean "
        f"{mean_bytes / 1000:.0f} kB, quality 90),",
        f"{machine()['cores']} cores ({machine()['processor']}), batches of "
        f"{classifier.batch_size}, {ROUNDS} interleaved rounds of {PICTURES_A_ROUND} images.",
        "",
        "| images | a second (median) |",
        "| --- | --- |",
        *(f"| {name} | {value:.1f} |" for name, value in per_second.items()),
        "",
        f"Throughput of the streamed images against those in memory: {ratio.value:.3f} "
        f"({ratio.low:.3f} to {ratio.high:.3f}, 95 %); the target is at least 0.9.",
    ]
    write_results("feeding", document, "\n".join(lines) + "\n")


PROBES = {"clean": Probe()}


def _in_memory(classifier: Classifier, source: ImageSource) -> ImageSource:
    """The same source with every picture decoded and resized beforehand."""
    decoded = [
        np.ascontiguousarray(np.rint(batch.images * 255).astype(np.uint8))
        for batch in classifier.batches(source)
    ]
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
