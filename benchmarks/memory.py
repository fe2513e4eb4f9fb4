"""Whether memory grows with the number of images that are profiled.

    python -m benchmarks.memory

The largest resident set of a process that profiles 1,000, 10,000 and 100,000 random images with
the small victim, each from an `.npz`. Linux alone tells it.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import hardener
from benchmarks.setting import ROOT, WEIGHTS, machine, write_results
from benchmarks.subjects import write_noise
from hardener.data.settings import CLEAN
from hardener.measuring.quality import Probe
from hardener.model.classifier import open_classifier
from hardener.model.runtime import Machine
from hardener.model.topology import find_feature_layer
from hardener.scanning.activations import profile

VICTIM = "alexnet-signs-badnets"
SIZES = (1_000, 10_000, 100_000)


def main() -> None:
    """Measures and writes `results/memory`."""
    peaks: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        model, data = Path(folder) / "model.onnx", Path(folder) / "noise.npz"
        arch = f"{ROOT / 'models' / 'alexnet.py'}:AlexNetSmall"
        hardener.export(WEIGHTS / f"{VICTIM}.safetensors", arch, model)
        for count in SIZES:
            write_noise(data, count, 32, 43, seed=0)
            code = "import sys; from pathlib import Path; from benchmarks.memory import peak; "
            code += "peak(Path(sys.argv[1]), Path(sys.argv[2]))"
            command = [sys.executable, "-c", code, str(model), str(data)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            peaks[count] = int(done.stdout) / 1024
    growth = peaks[SIZES[-1]] / peaks[SIZES[0]]
    lines = [
        "# Memory over the number of images",
        "",
        f"Largest resident set of a process that profiles 32×32 images with `{VICTIM}`:",
        "",
        "| images | MiB |",
        "| --- | --- |",
        *(f"| {count:,} | {mebibytes:.0f} |" for count, mebibytes in peaks.items()),
        "",
        f"From {SIZES[0]:,} to {SIZES[-1]:,} images it grows by a factor of {growth:.3f}.",
    ]
    document = {"machine": machine(), "peak_mebibytes": peaks, "growth": growth}
    write_results("memory", document, "\n".join(lines) + "\n")


def peak(model: Path, data: Path) -> None:
    """Profiles images in this process and prints its largest resident set in KiB."""
    classifier = open_classifier(model)
    layer = find_feature_layer(classifier.proto, classifier.signature, classifier.model.shapes)
    profile(classifier, layer, classifier.open_data(data), {CLEAN: Probe()}, machine=Machine())
    # Not getrusage, whose peak a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text()
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


if __name__ == "__main__":
    main()
