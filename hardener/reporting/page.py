"""The report: one page that shows a scan, what was done about it and what that changed.

It opens without a network and asks for nothing: styles, pictures and the script that reads the
sweep are inside. Every text from outside is escaped by the template.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hardener.documents.bench import BenchResult
from hardener.documents.page import ReportResult
from hardener.documents.prune import PruneResult
from hardener.documents.repair import RepairResult
from hardener.documents.scan import ScanResult
from hardener.errors import DataError, ModelError, UsageError
from hardener.files import FileName, check_output, write_text
from hardener.model.classifier import ModelGiven, Overrides, open_model, path_of
from hardener.model.files import OnnxModel
from hardener.progress import Progress, silent
from hardener.reporting.changes import Hardened, changes, done, to_ship
from hardener.reporting.drawing import Drawn
from hardener.reporting.model_views import ModelView, exhibit
from hardener.reporting.outcomes import found_of
from hardener.reporting.page_figures import figures_of
from hardener.reporting.plain_text import one_line, printable
from hardener.reporting.reproducing import commands, details, short_class_names
from hardener.reporting.trigger_pictures import known_picture, trigger_pictures
from hardener.scanning.calibration import shipped
from hardener.scanning.saved import SCAN_FILE, ScanGiven, folder_of, open_scan

_KINDS_SHOWN = 40
"""Kinds of attack; a file may hold any number."""
_ADVICE = {
    "backdoored": "Do not ship this model as it is.",
    "inconclusive": "Something was not looked at, failed, or lies between: this is not clean.",
    "clean": "Nothing was found of what is looked for; that is no proof that nothing is there.",
}
_WORDS = (
    ("clean+syn, clean+ori", "images with the scan's trigger, with the true trigger stamped on"),
    (
        "attack success rate",
        "of triggered images of other classes, how many go to the target label",
    ),
    ("robust accuracy", "of those same images, how many still go to their true label"),
    ("mask ℓ1, ℓ2 norm", "how large a patch is, in pixels; how strong a faint change is"),
    ("anomaly index", "by how many deviations a trigger is smaller than the labels' median"),
    ("ℓ∞ of a channel", "the largest value of its activation map on an image"),
    ("feature layer", "the last layer with positions, whose channels are measured and pruned"),
    ("accuracy budget", "the accuracy that hardening was allowed to cost"),
)


def report(
    scan: ScanGiven,
    output: FileName,
    *,
    hardened: FileName | Hardened | None = None,
    bench: FileName | BenchResult | None = None,
    model: ModelGiven | None = None,
    data: FileName | None = None,
    known_trigger: FileName | None = None,
    beside: ModelGiven | None = None,
    images: Sequence[int] | None = None,
    preprocessing: Overrides = (),
    provider: str = "auto",
    threads: int | None = None,
    device: int = 0,
    seed: int = 0,
    progress: Progress = silent,
) -> ReportResult:
    """Writes the report of a finished scan as one HTML file.

    With the model and images it also shows what the model looks at, what its feature layer does
    and how its norms move, without and with the triggers.

    Args:
        scan: the scan's folder, or the scan.
        output: the page to write.
        hardened: the JSON file that `repair` or `prune` wrote beside the hardened model, or what
            they returned.
        bench: the JSON file that `bench` wrote, or what it returned.
        model: the scanned ONNX model, a file or open, to be run; with `data`.
        data: labelled images to run it on; with `model`.
        known_trigger: the true trigger, where an evaluator has it.
        beside: a second model to show beside the first; by default the hardened one.
        images: positions of the images to show; by default representative ones.
        preprocessing: fields that win over the scan's, later over earlier.
        provider: auto, cpu, cuda or tensorrt.
        threads: of one operator on the CPU; by default one for each core.
        device: index of the GPU.
        seed: of the draw of images.
        progress: told how far it is.

    Raises:
        HardenError: a document is missing, damaged, or of another model than the scan's, or the
            model or the images cannot be used.
    """
    output = Path(output)
    changed, measured = _hardened(hardened), _measured(bench)
    inputs = (hardened, bench, data, known_trigger)
    read = [Path(one) for one in inputs if isinstance(one, str | os.PathLike)]
    read += [path_of(one) for one in (model, beside) if one is not None]
    check_output(output, ".html", folder_of(scan) / SCAN_FILE, *read)
    saved = open_scan(scan)
    scanned = saved.result
    for document, what in ((changed, "hardening"), (measured, "measurement")):
        if document is not None and document.model.sha256 != scanned.model.sha256:
            raise DataError(
                f"the {what} is of {document.model.path}, {saved.folder} is the scan of another "
                "model: give those that go together"
            )
    _require_measured(changed, measured)
    missing = _missing(changed, measured)
    shown = None
    if model is None or data is None:
        if any(one is not None for one in (model, data, known_trigger, beside, images)):
            raise UsageError(
                "--model and --data go together, and --known-trigger, --beside and --images need "
                "them: give both, or none of these"
            )
        missing.append(
            "where the model looks, its activations and norms (--model MODEL.onnx --data CLEAN)"
        )
    else:
        if beside is None:
            beside = _hardened_model(changed, hardened, scanned)
            if beside is None and changed is not None and changed.hardened is not None:
                missing.append(
                    f"where the hardened model looks: {changed.hardened.path} is not there "
                    "(--beside HARDENED.onnx)"
                )
        shown = exhibit(
            model,
            saved,
            data,
            beside=beside,
            known_trigger=known_trigger,
            images=images,
            preprocessing=preprocessing,
            provider=provider,
            threads=threads,
            device=device,
            seed=seed,
            progress=progress,
        )
        missing += shown.notes
        if shown.data.unreadable:
            missing.append(
                f"{len(shown.data.unreadable)} unreadable pictures: "
                f"{', '.join(shown.data.unreadable)}"
            )
    pictures = [*known_picture(known_trigger), *trigger_pictures(saved)]
    known = None if known_trigger is None else Path(known_trigger)
    text = page(scanned, pictures, changed, measured, shown, known)
    write_text(output, text)
    return ReportResult(
        seed=scanned.seed,
        provider=scanned.provider,
        model=scanned.model,
        data=scanned.data,
        report=str(output),
        bytes=len(text.encode()),
        missing=tuple(missing),
    )


def _require_measured(changed: Hardened | None, measured: BenchResult | None) -> None:
    """Refuses a measurement of other models than the hardened one: its numbers would mislead."""
    if changed is None or changed.hardened is None or measured is None:
        return
    if changed.hardened.sha256 not in {model.sha256 for model in measured.models}:
        named = ", ".join(model.path for model in measured.models)
        raise DataError(
            f"the measurement is of {named} and not of {changed.hardened.path} as it was written: "
            "run harden bench on that one, or leave one of both out"
        )


def _missing(changed: Hardened | None, measured: BenchResult | None) -> list[str]:
    sentences = (
        (changed, "what was done about it (--hardened HARDENED.json)"),
        (measured, "what was measured on test images (--bench BENCH.json)"),
    )
    return [sentence for one, sentence in sentences if one is None]


def _hardened_model(
    changed: Hardened | None, given: FileName | Hardened | None, scanned: ScanResult
) -> OnnxModel | None:
    """The hardened model, where its document says or beside that; None where it is at neither.

    Raises:
        DataError: another model lies there.
    """
    if changed is None or changed.hardened is None:
        return None
    places = [Path(changed.hardened.path)]
    if isinstance(given, str | os.PathLike):
        places.append(Path(given).parent / places[0].name)
    there = [one for one in places if one.is_file()]
    for one in there:
        with suppress(ModelError):
            model = open_model(one, [scanned.preprocessing.fields])
            if model.sha256 == changed.hardened.sha256:
                return model
    if there:
        raise DataError(
            f"{there[0]} is another model than its document tells of: give the one to show with "
            "--beside"
        )
    return None


def page(
    scanned: ScanResult,
    pictures: Sequence[dict[str, Any]],
    changed: Hardened | None = None,
    measured: BenchResult | None = None,
    shown: ModelView | None = None,
    known_trigger: Path | None = None,
) -> str:
    """The page's text.

    Args:
        scanned: the scan.
        pictures: of triggers: `base64`, `caption`, `described`, and whether of a `target`.
        changed: what `repair` or `prune` did.
        measured: what `bench` measured.
        shown: what the model shows on images.
        known_trigger: the true trigger's file, to be named.
    """
    environment = Environment(
        loader=PackageLoader("hardener.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_spelt_out,
    )
    calibration = shipped()
    rows = changed.sweep if isinstance(changed, PruneResult) else ()
    thresholds = [row.threshold for row in rows]
    kept = changed.threshold if isinstance(changed, PruneResult) else None
    return environment.get_template("report.html.j2").render(
        model_name=Path(scanned.model.path).name,
        verdict={
            "word": scanned.verdict,
            "targets": scanned.targets,
            "names": {} if shown is None else short_class_names(shown),
            "score": scanned.score,
            "accuracy": scanned.accuracy,
            "images": 0 if scanned.data is None else scanned.data.count,
            "backdoored_from": calibration.backdoored_from,
            "clean_below": calibration.clean_below,
            "advice": _ADVICE[scanned.verdict],
        },
        reasons=scanned.reasons,
        looked_for=[
            {
                "attack": row.attack,
                "looked_for": "yes" if row.looked_for else "no",
                "found": found_of(row),
            }
            for row in scanned.looked_for[:_KINDS_SHOWN]
        ],
        done=[] if changed is None else done(changed),
        ship=to_ship(changed),
        words=_WORDS,
        changes=changes(changed, measured),
        pictures=pictures,
        figures=[
            {
                "name": drawn.name,
                "title": drawn.title,
                "described": one_line(drawn.described),
                "svg": _safe(drawn),
            }
            for drawn in figures_of(scanned, changed, measured, shown)
        ],
        notes=() if shown is None else shown.notes,
        sweep=[row.model_dump() for row in rows],
        chosen=thresholds.index(kept) if kept in thresholds else 0,
        commands=commands(scanned, changed, measured),
        details=details(scanned, changed, measured, shown, known_trigger),
    )


def _spelt_out(value: object) -> object:
    """Text with what could turn or hide what stands around it spelt out; all else as it is."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value)


def _safe(drawn: Drawn) -> Markup:
    # Drawn here: text in it is escaped by matplotlib and by `Drawn.svg`.
    return Markup(drawn.svg())  # noqa: S704


def _hardened(given: FileName | Hardened | None) -> Hardened | None:
    """What `prune` or `repair` wrote; the one has a criterion, the other targets."""
    if given is None or isinstance(given, PruneResult | RepairResult):
        return given
    _require_file(Path(given), "--hardened")
    for kind in (RepairResult, PruneResult):
        with suppress(DataError):
            return kind.read(Path(given))
    raise DataError(
        f"{given} is not what harden repair or prune wrote: give the .json beside the hardened "
        "model"
    )


def _require_file(path: Path, option: str) -> None:
    if not path.exists():
        raise DataError(f"{option} {path} does not exist: name the JSON file")


def _measured(given: FileName | BenchResult | None) -> BenchResult | None:
    if given is None or isinstance(given, BenchResult):
        return given
    _require_file(Path(given), "--bench")
    try:
        return BenchResult.read(Path(given))
    except DataError as error:
        raise DataError(
            f"{given} is not what harden bench wrote: give the file of its -o"
        ) from error
