"""What is needed to do again what a page shows: commands, digests, versions, seeds."""

from pathlib import Path

from hardener.documents.bench import BenchResult
from hardener.documents.document import Run
from hardener.documents.prune import PruneResult
from hardener.documents.scan import ScanResult
from hardener.files import sha256_of
from hardener.reporting.changes import Hardened
from hardener.reporting.model_views import ModelView
from hardener.reporting.plain_text import command_line, path_argument

_LONGEST_CLASS = 200


def commands(
    scanned: ScanResult, changed: Hardened | None, measured: BenchResult | None
) -> list[str]:
    """The commands that made the documents, quoted for a shell."""
    model = path_argument(scanned.model.path)
    data = [] if scanned.data is None else ["--data", path_argument(scanned.data.path)]
    seeded = ["--seed", str(scanned.seed)]
    lines = [command_line("harden", "scan", model, *data, *seeded, "-o", "SCAN")]
    hardened = None if changed is None else changed.hardened
    written = "HARDENED.onnx" if hardened is None else path_argument(hardened.path)
    if changed is not None and changed.data is not None:
        read = ["--scan", "SCAN", "--data", path_argument(changed.data.path)]
        verb, how = "repair", list[str]()
        if isinstance(changed, PruneResult):
            verb = "prune"
            how = [f"--criterion={changed.criterion}", f"--rewrite={changed.rewrite}"]
        seeded = ["--seed", str(changed.seed)]
        lines.append(command_line("harden", verb, model, *read, *how, *seeded, "-o", written))
    if measured is not None:
        models = [path_argument(one.path) for one in measured.models]
        settings = measured.models[0].attack_success_rate
        tried = ["--scan", "SCAN"] if any("syn" in setting for setting in settings) else []
        tried += ["--trigger", "TRIGGER.npz"] if any("ori" in one for one in settings) else []
        read = ["--data", path_argument(measured.data.path), *tried, "--seed", str(measured.seed)]
        lines.append(command_line("harden", "bench", *models, *read, "-o", "BENCH.json"))
    return lines


def short_class_names(shown: ModelView) -> dict[int, str]:
    """Class names, cut where they would fill the page."""
    return {
        label: name if len(name) <= _LONGEST_CLASS else f"{name[:_LONGEST_CLASS]}…"
        for label, name in shown.class_names.items()
    }


def details(
    scanned: ScanResult,
    changed: Hardened | None,
    measured: BenchResult | None,
    shown: ModelView | None,
    known_trigger: Path | None,
) -> list[tuple[str, str]]:
    """Names and values of what was read, shown and written, with digests, versions and seeds."""
    pre = scanned.preprocessing
    rows = [
        ("model", f"{scanned.model.path}, SHA-256 {scanned.model.sha256}"),
        ("feature layer", f"{scanned.layer.name}, {scanned.layer.channels} channels"),
        ("preprocessing", f"size {pre.size}, mean {pre.mean}, standard deviation {pre.std}"),
    ]
    if scanned.data is not None:
        rows.append(("clean images", f"{scanned.data.path}, SHA-256 {scanned.data.sha256}"))
    if changed is not None and changed.hardened is not None:
        rows.append(
            ("hardened model", f"{changed.hardened.path}, SHA-256 {changed.hardened.sha256}")
        )
    if measured is not None:
        rows.append(("test images", f"{measured.data.path}, SHA-256 {measured.data.sha256}"))
    if shown is not None:
        rows += [("model beside it", f"{m.path}, SHA-256 {m.sha256}") for m in shown.models[1:]]
        places = ", ".join(str(example.position) for example in shown.examples)
        if shown.class_names:
            names = short_class_names(shown).items()
            rows.append(("class names", "; ".join(f"{label}: {name}" for label, name in names)))
        rows.append(("images shown", f"{places} of {shown.data.path}, SHA-256 {shown.data.sha256}"))
    documents: tuple[tuple[str, Run | None], ...] = (
        ("scan", scanned), ("hardening", changed), ("measurement", measured)
    )  # fmt: skip
    for name, document in documents:
        if document is not None:
            ran = f"{document.tool.name} {document.tool.version}, seed {document.seed}, "
            ran += f"{document.provider}, {document.threads} threads, {document.created}"
            rows.append((name, ran))
    if known_trigger is not None:
        rows.append(("true trigger", f"{known_trigger}, SHA-256 {sha256_of(known_trigger)}"))
    return rows
