"""The demo: a bundled backdoored AlexNet, hardened on rendered traffic signs, no download."""

from collections.abc import Callable
from pathlib import Path

from hardener.benching.bench import bench
from hardener.data.signs import CLASS_NAMES, write_signs
from hardener.documents.bench import BenchResult
from hardener.documents.document import Document
from hardener.errors import InconclusiveError, UsageError
from hardener.files import FileName
from hardener.model.classifier import open_model
from hardener.model.exporting import export
from hardener.progress import Progress, silent
from hardener.repairing.repair import repair
from hardener.reporting.plain_text import command_line
from hardener.scanning.saved import SavedScan
from hardener.scanning.scan import scan

# The victim was trained with seed 1; these pictures are new to it.
_CLEAN_SEED, _TEST_SEED = 2, 3
_SIGNS_PER_CLASS = 60
_VICTIM = "alexnet-signs-badnets"


def demo(
    output: FileName,
    *,
    provider: str = "auto",
    seed: int = 0,
    progress: Progress = silent,
    show: Callable[[str, Document], None] = lambda _command, _result: None,
) -> BenchResult:
    """Exports, scans, repairs and benches the bundled victim.

    Args:
        output: folder to work in.
        provider: auto, cpu, cuda or tensorrt.
        seed: of every random choice.
        progress: told how far it is.
        show: told the equivalent command and the result of each stage.

    Raises:
        HardenError: the bundled files are missing or the folder cannot be written.
    """
    output = Path(output)
    architecture, weights = _victim_files()
    clean, test = output / "clean.npz", output / "test.npz"
    model, scanned, hardened = output / "model.onnx", output / "scan", output / "hardened.onnx"
    report = output / "bench.json"
    trigger = weights.with_suffix(".trigger.npz")
    write_signs(clean, _SIGNS_PER_CLASS, _CLEAN_SEED)
    write_signs(test, _SIGNS_PER_CLASS, _TEST_SEED)
    arch = f"{architecture}:AlexNetSmall"
    show(
        command_line("harden", "export", weights, "--arch", arch, "-o", model),
        export(weights, arch, model, class_names=CLASS_NAMES, data=clean),
    )
    opened = open_model(model)
    show(
        command_line("harden", "scan", model, "--data", clean, "-o", scanned),
        found := scan(opened, clean, scanned, provider=provider, seed=seed, progress=progress),
    )
    saved = SavedScan(scanned, found)
    repaired = repair(
        opened, saved, clean, hardened, provider=provider, seed=seed, progress=progress
    )
    show(
        command_line("harden", "repair", model, "--scan", scanned, "--data", clean, "-o", hardened),
        repaired,
    )
    if repaired.hardened is None:
        raise InconclusiveError(f"the demo's model was not hardened: {repaired.outcome}")
    result = bench(
        [opened, hardened],
        test,
        report,
        trigger=trigger,
        scan=saved,
        provider=provider,
        seed=seed,
        progress=progress,
    )
    show(
        command_line(
            *("harden", "bench", model, hardened, "--data", test),
            *("--trigger", trigger, "--scan", scanned, "-o", report),
        ),
        result,
    )
    return result


def _victim_files() -> tuple[Path, Path]:
    """Architecture and weights: beside this file once installed, in models/ in a checkout."""
    here = Path(__file__).resolve().parent
    for folder in (here / "demo_victim", here.parent / "models"):
        architecture, weights = folder / "alexnet.py", folder / "weights" / f"{_VICTIM}.safetensors"
        if architecture.is_file() and weights.is_file():
            return architecture, weights
    raise UsageError("the demo's model is not installed: run harden demo from a checkout")
