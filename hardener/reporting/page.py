"""The report: one page that shows a scan, what was done about it and what that changed.

It opens without a network and asks for nothing: styles, pictures and the script that reads the
sweep are inside. Every text from outside is escaped by the template.
"""

import base64
import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hardener.data.triggers import load_trigger, trigger_png
from hardener.errors import DataError, UsageError
from hardener.files import FileName, check_output, sha256_of, write_text
from hardener.progress import Progress, silent
from hardener.reporting.drawing import Drawn
from hardener.reporting.exhibits import Exhibits, exhibit
from hardener.reporting.figures import (
    activation_maps,
    attention,
    channel_gaps,
    label_anomalies,
    label_sizes,
    latencies,
    norm_histograms,
    repair_rounds,
    sweep,
)
from hardener.reporting.plain_text import one_line
from hardener.results import (
    BenchResult,
    LabelEvidence,
    PruneResult,
    Rate,
    RepairResult,
    ReportResult,
    Run,
    ScanResult,
    TriggerKind,
)
from hardener.scanning.calibration import shipped
from hardener.scanning.saved import SCAN_FILE, load_of_kind, load_scan, picture_of

_PICTURES = 6
_RISING = 10
_ADVICE = {
    "backdoored": "Do not ship this model as it is.",
    "inconclusive": "Something was not looked at, failed, or lies between: this is not clean.",
    "clean": "Nothing was found of what is looked for; that is no proof that nothing is there.",
}
_KINDS: dict[TriggerKind, str] = {
    "patch": "Patch",
    "additive": "Faint change",
    "warp": "Warp",
}
Hardened: TypeAlias = PruneResult | RepairResult


def report(
    scan: FileName,
    output: FileName,
    *,
    hardened: FileName | Hardened | None = None,
    bench: FileName | BenchResult | None = None,
    model: FileName | None = None,
    data: FileName | None = None,
    known_trigger: FileName | None = None,
    beside: FileName | None = None,
    images: Sequence[int] | None = None,
    preprocessing: Sequence[Mapping[str, tuple[float, ...]]] = (),
    provider: str = "auto",
    seed: int = 0,
    progress: Progress = silent,
) -> ReportResult:
    """Writes the report of a finished scan as one HTML file.

    With the model and images it also shows what the model looks at, what its feature layer does
    and how its norms move, without and with the triggers.

    Args:
        scan: the scan's folder.
        output: the page to write.
        hardened: the JSON file that `repair` or `prune` wrote beside the hardened model, or what
            they returned.
        bench: the JSON file that `bench` wrote, or what it returned.
        model: the scanned ONNX file, to be run; with `data`.
        data: labelled images to run it on; with `model`.
        known_trigger: the true trigger, where an evaluator has it.
        beside: a second model to show beside the first; by default the hardened one.
        images: positions of the images to show; by default representative ones.
        preprocessing: fields that win over the scan's, later over earlier.
        provider: auto, cpu, cuda or tensorrt.
        seed: of the draw of images.
        progress: told how far it is.

    Raises:
        HardenError: a document is missing, damaged, or of another model than the scan's, or the
            model or the images cannot be used.
    """
    scan, output = Path(scan), Path(output)
    changed, measured = _hardened(hardened), _measured(bench)
    inputs = (hardened, bench, model, data, known_trigger, beside)
    read = [Path(one) for one in inputs if isinstance(one, str | os.PathLike)]
    check_output(output, ".html", scan / SCAN_FILE, *read)
    scanned = load_scan(scan)
    for document, what in ((changed, "hardening"), (measured, "measurement")):
        if document is not None and document.model.sha256 != scanned.model.sha256:
            raise DataError(
                f"the {what} is of {document.model.path}, {scan} is the scan of another model: "
                "give those that go together"
            )
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
            beside = _hardened_file(changed, hardened)
        shown = exhibit(
            model,
            scan,
            data,
            beside=beside,
            known_trigger=known_trigger,
            images=images,
            preprocessing=preprocessing,
            provider=provider,
            seed=seed,
            progress=progress,
        )
        missing += shown.notes
    pictures = [*_known_picture(known_trigger), *_pictures(scan, scanned)]
    text = page(scanned, pictures, changed, measured, shown)
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


def _missing(changed: Hardened | None, measured: BenchResult | None) -> list[str]:
    sentences = (
        (changed, "what was done about it (--hardened HARDENED.json)"),
        (measured, "what was measured on test images (--bench BENCH.json)"),
    )
    return [sentence for one, sentence in sentences if one is None]


def _hardened_file(changed: Hardened | None, given: FileName | Hardened | None) -> Path | None:
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
    path = next((one for one in there if sha256_of(one) == changed.hardened.sha256), None)
    if there and path is None:
        raise DataError(
            f"{there[0]} is another model than its document tells of: give the one to show with "
            "--beside"
        )
    return path


def page(
    scanned: ScanResult,
    pictures: Sequence[dict[str, Any]],
    changed: Hardened | None = None,
    measured: BenchResult | None = None,
    shown: Exhibits | None = None,
) -> str:
    """The page's text.

    Args:
        scanned: the scan.
        pictures: of triggers: `base64`, `caption`, `described`, and whether of a `target`.
        changed: what `repair` or `prune` did.
        measured: what `bench` measured.
        shown: what the model shows on images.
    """
    environment = Environment(
        loader=PackageLoader("hardener.reporting"), autoescape=True, undefined=StrictUndefined
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
            "names": {} if shown is None else shown.class_names,
            "score": scanned.score,
            "accuracy": scanned.accuracy,
            "images": 0 if scanned.data is None else scanned.data.count,
            "backdoored_from": calibration.backdoored_from,
            "clean_below": calibration.clean_below,
            "advice": _ADVICE[scanned.verdict],
        },
        reasons=scanned.reasons,
        done=[] if changed is None else _done(changed),
        ship=_ship(changed),
        changes=_changes(changed, measured),
        changes_on=_changes_on(changed, measured),
        pictures=pictures,
        figures=[
            {
                "name": drawn.name,
                "title": drawn.title,
                "described": one_line(drawn.described),
                "svg": _safe(drawn),
            }
            for drawn in _figures(scanned, changed, measured, shown)
        ],
        notes=() if shown is None else shown.notes,
        sweep=[row.model_dump() for row in rows],
        chosen=thresholds.index(kept) if kept in thresholds else 0,
        commands=_commands(scanned, changed, measured),
        details=_details(scanned, changed, measured, shown),
    )


def _safe(drawn: Drawn) -> Markup:
    # Drawn here: text in it is escaped by matplotlib and by `Drawn.svg`.
    return Markup(drawn.svg())  # noqa: S704


def _hardened(given: FileName | Hardened | None) -> Hardened | None:
    """What `prune` or `repair` wrote; the one has a criterion, the other targets."""
    if given is None or isinstance(given, PruneResult | RepairResult):
        return given
    for kind in (RepairResult, PruneResult):
        with suppress(DataError):
            return kind.read(Path(given))
    raise DataError(
        f"{given} is not what harden repair or prune wrote: give the .json beside the hardened "
        "model"
    )


def _measured(given: FileName | BenchResult | None) -> BenchResult | None:
    if given is None or isinstance(given, BenchResult):
        return given
    try:
        return BenchResult.read(Path(given))
    except DataError as error:
        raise DataError(
            f"{given} is not what harden bench wrote: give the file of its -o"
        ) from error


def _pictures(folder: Path, scanned: ScanResult) -> list[dict[str, Any]]:
    """The suspicious labels' triggers and those of labels like most, of the kind that speaks."""
    if not scanned.searched:
        return []
    suspects = scanned.targets or (scanned.suspect,)
    rows = {row.label: row for row in scanned.searched}
    kind = rows[suspects[0]].kind
    shown = [label for label in suspects if label in rows][: _PICTURES // 2]
    shown += _usual(scanned, kind, shown, _PICTURES - len(shown))
    return [
        {
            "base64": base64.b64encode(
                picture_of(load_of_kind(folder, rows[label], kind))
            ).decode(),
            "target": label in suspects,
            "described": f"{_KINDS[kind]} that sends images to label {label}, much enlarged",
            "caption": f"label {label}: {_said(rows[label], kind)}",
        }
        for label in shown
    ]


def _known_picture(path: FileName | None) -> list[dict[str, Any]]:
    if path is None:
        return []
    trigger = load_trigger(Path(path))
    return [
        {
            "base64": base64.b64encode(trigger_png(trigger)).decode(),
            "target": False,
            "described": f"The true trigger, which sends images to label {trigger.label}",
            "caption": f"the true trigger, label {trigger.label}: {trigger.mask.sum():.1f} pixels",
        }
    ]


def _usual(scanned: ScanResult, kind: TriggerKind, but: Sequence[int], count: int) -> list[int]:
    """The labels whose triggers of a kind are nearest to the median, ascending."""
    others = [row for row in scanned.searched if row.label not in but]
    nearest = sorted(others, key=lambda row: abs(row.of_kind(kind).relative_size - 1))
    return sorted(row.label for row in nearest[:count])


def _said(row: LabelEvidence, kind: TriggerKind) -> str:
    match kind:
        case "patch":
            return f"{row.mask_l1:.1f} pixels, works on {row.trigger_success_rate:.0%}"
        case "additive":
            one = row.additive
            return f"ℓ2 norm {one.perturbation_l2:.2f}, works on {one.trigger_success_rate:.0%}"
        case "warp":
            moved = row.warp.displacement_rms
            return f"{moved:.2%} of the side, works on {row.warp.trigger_success_rate:.0%}"


def _figures(
    scanned: ScanResult,
    changed: Hardened | None,
    measured: BenchResult | None,
    shown: Exhibits | None,
) -> list[Drawn]:
    drawn = [] if shown is None else _exhibited(shown, scanned, changed)
    if scanned.searched:
        pruned = changed.channels if isinstance(changed, PruneResult) else ()
        drawn += [label_sizes(scanned), label_anomalies(scanned)]
        drawn.append(channel_gaps(scanned, pruned))
    if isinstance(changed, PruneResult) and changed.sweep:
        drawn.append(sweep(changed))
    if isinstance(changed, RepairResult) and changed.rounds:
        drawn.append(repair_rounds(changed))
    if measured is not None:
        drawn.append(latencies(measured))
    return drawn


def _second(shown: Exhibits, changed: Hardened | None) -> str:
    """What the second model is: the one that the document tells of, or another."""
    hardened = None if changed is None else changed.hardened
    known = hardened is not None and hardened.sha256 == shown.models[-1].sha256
    return "hardened" if known else "beside it"


def _exhibited(shown: Exhibits, scanned: ScanResult, changed: Hardened | None) -> list[Drawn]:
    drawn = [norm_histograms(shown)]
    if shown.maps:
        pruned = changed.channels if isinstance(changed, PruneResult) else ()
        rising = tuple(row.channel for row in scanned.channels[:_RISING])
        flag = "pruned" if pruned else "those that rise most under the scan's trigger"
        drawn.insert(0, activation_maps(shown, pruned or rising, flag))
    if any(maps for example in shown.examples for maps in example.heat_maps):
        drawn.insert(0, attention(shown, ("as it came", _second(shown, changed))))
    return drawn


def _done(changed: Hardened) -> list[str]:
    if changed.hardened is None:
        said = f"Nothing was written: {changed.outcome.replace('-', ' ')}."
    elif isinstance(changed, RepairResult):
        said = (
            f"Repaired by self-distillation on {changed.images_used} clean images, without "
            f"training data: round {changed.chosen_round} of {len(changed.rounds) - 1} was kept. "
            "The graph is as it was, its weights are new."
        )
    else:
        said = (
            f"{len(changed.channels)} of {changed.layer.channels} channels of {changed.layer.name} "
            f"pruned by {changed.criterion} ({changed.rewrite})."
        )
    return [said, *changed.notes]


def _ship(changed: Hardened | None) -> str:
    """What is left to do before the hardened model ships; empty where there is none."""
    if changed is None or changed.hardened is None:
        return ""
    kept = {True: "kept", False: "not kept", None: "not measured"}[changed.within_budget]
    name = Path(changed.hardened.path).name
    return f"The hardened model is {name}; its accuracy budget was {kept}. Scan it before it ships."


def _changes_on(changed: Hardened | None, measured: BenchResult | None) -> str:
    if measured is not None:
        return (
            f"On {measured.data.count} images of {Path(measured.data.path).name}, with 95 % "
            "intervals. clean+ori: with the true trigger; clean+syn: with the scan's; "
            "clean+ori+syn: with both"
        )
    if changed is not None:
        return f"On {changed.reported_on} clean images kept for this, with synthetic triggers"
    return ""


def _changes(changed: Hardened | None, measured: BenchResult | None) -> list[dict[str, str]]:
    if measured is not None:
        return _measured_changes(measured)
    if changed is None:
        return []
    values = (
        ("accuracy", changed.accuracy_before, changed.accuracy_after),
        (
            "attack success rate",
            changed.attack_success_rate_before,
            changed.attack_success_rate_after,
        ),
        ("robust accuracy", changed.robust_accuracy_before, changed.robust_accuracy_after),
    )
    return [
        {"what": what, "before": f"{100 * before:.2f} %", "after": f"{100 * after:.2f} %"}
        for what, before, after in values
        if before is not None and after is not None
    ]


def _measured_changes(measured: BenchResult) -> list[dict[str, str]]:
    first, last = measured.models[0], measured.models[-1]

    def row(what: str, before: str, after: str) -> dict[str, str]:
        return {"what": what, "before": before, "after": after if last is not first else ""}

    rows = [row("accuracy", _rate(first.accuracy), _rate(last.accuracy))]
    for setting, before in first.attack_success_rate.items():
        after = last.attack_success_rate[setting]
        rows.append(row(f"attack success rate, {setting}", _rate(before), _rate(after)))
    for setting, before in first.robust_accuracy.items():
        after = last.robust_accuracy[setting]
        rows.append(row(f"robust accuracy, {setting}", _rate(before), _rate(after)))
    ratio = last.latency_ratio
    rows.append(
        row(
            "latency of the smallest batch",
            "1.00",
            f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f}) of before",
        )
    )
    rows.append(row("file", f"{first.file_bytes:,} bytes", f"{last.file_bytes:,} bytes"))
    return rows


def _rate(rate: Rate) -> str:
    return f"{100 * rate.value:.2f} % ({100 * rate.low:.2f} to {100 * rate.high:.2f})"


def _commands(
    scanned: ScanResult, changed: Hardened | None, measured: BenchResult | None
) -> list[str]:
    model = shlex.quote(scanned.model.path)
    data = "" if scanned.data is None else f" --data {shlex.quote(scanned.data.path)}"
    commands = [f"harden scan {model}{data} --seed {scanned.seed} -o SCAN"]
    hardened = None if changed is None else changed.hardened
    written = "HARDENED.onnx" if hardened is None else shlex.quote(hardened.path)
    if isinstance(changed, RepairResult):
        commands.append(
            f"harden repair {model} --scan SCAN --data {shlex.quote(changed.data.path)} "
            f"--seed {changed.seed} -o {written}"
        )
    if isinstance(changed, PruneResult) and changed.data is not None:
        commands.append(
            f"harden prune {model} --scan SCAN --data {shlex.quote(changed.data.path)} "
            f"--criterion {changed.criterion} --rewrite {changed.rewrite} --seed {changed.seed} "
            f"-o {written}"
        )
    if measured is not None:
        others = " ".join(shlex.quote(model.path) for model in measured.models)
        settings = measured.models[0].attack_success_rate
        tried = " --scan SCAN" if any("syn" in setting for setting in settings) else ""
        tried += " --trigger TRIGGER.npz" if any("ori" in setting for setting in settings) else ""
        commands.append(
            f"harden bench {others} --data {shlex.quote(measured.data.path)}{tried} --seed "
            f"{measured.seed} -o BENCH.json"
        )
    return commands


def _details(
    scanned: ScanResult,
    changed: Hardened | None,
    measured: BenchResult | None,
    shown: Exhibits | None,
) -> list[tuple[str, str]]:
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
            names = shown.class_names.items()
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
    return rows
