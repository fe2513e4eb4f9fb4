"""The report: one page that shows a scan, what was done about it and what that changed.

It opens without a network and asks for nothing: styles, pictures and the script that reads the
sweep are inside. Every text from outside is escaped by the template.
"""

import base64
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hardener.errors import DataError
from hardener.files import FileName, check_output, write_text
from hardener.reporting.drawing import Drawn
from hardener.reporting.figures import (
    channel_gaps,
    label_sizes,
    latencies,
    repair_rounds,
    sweep,
)
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
from hardener.scanning.saved import load_of_kind, load_scan, picture_of

_PICTURES = 6
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
    hardened: FileName | None = None,
    bench: FileName | None = None,
) -> ReportResult:
    """Writes the report of a finished scan as one HTML file.

    Args:
        scan: the scan's folder.
        output: the page to write.
        hardened: the JSON file that `repair` or `prune` wrote beside the hardened model.
        bench: the JSON file that `bench` wrote.

    Raises:
        HardenError: a document is missing, damaged, or of another model than the scan's.
    """
    scan, output = Path(scan), Path(output)
    given = [Path(path) for path in (hardened, bench) if path is not None]
    check_output(output, ".html", scan / "scan.json", *given)
    scanned = load_scan(scan)
    changed = None if hardened is None else _hardened(Path(hardened))
    measured = None if bench is None else _measured(Path(bench))
    for path, document in zip(given, (one for one in (changed, measured) if one), strict=True):
        if document.model.sha256 != scanned.model.sha256:
            raise DataError(f"{path} is of another model than {scan}: give those that go together")
    text = page(scanned, _pictures(scan, scanned), changed, measured)
    write_text(output, text)
    missing = [
        sentence
        for one, sentence in (
            (changed, "what was done about it (--hardened HARDENED.json)"),
            (measured, "what was measured on test images (--bench BENCH.json)"),
        )
        if one is None
    ]
    return ReportResult(
        seed=scanned.seed,
        provider=scanned.provider,
        model=scanned.model,
        data=scanned.data,
        report=str(output),
        bytes=len(text.encode()),
        missing=tuple(missing),
    )


def page(
    scanned: ScanResult,
    pictures: Sequence[dict[str, Any]],
    changed: Hardened | None = None,
    measured: BenchResult | None = None,
) -> str:
    """The page's text.

    Args:
        scanned: the scan.
        pictures: of triggers: `base64`, `caption`, `described`, and whether of a `target`.
        changed: what `repair` or `prune` did.
        measured: what `bench` measured.
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
                "described": drawn.described,
                "svg": _safe(drawn),
            }
            for drawn in _figures(scanned, changed, measured)
        ],
        sweep=[row.model_dump() for row in rows],
        chosen=thresholds.index(kept) if kept in thresholds else 0,
        commands=_commands(scanned, changed, measured),
        details=_details(scanned, changed, measured),
    )


def _safe(drawn: Drawn) -> Markup:
    # Drawn here: text in it is escaped by matplotlib and by `Drawn.svg`.
    return Markup(drawn.svg())  # noqa: S704


def _hardened(path: Path) -> Hardened:
    """What `prune` or `repair` wrote; the one has a criterion, the other targets."""
    for kind in (RepairResult, PruneResult):
        with suppress(DataError):
            return kind.read(path)
    raise DataError(
        f"{path} is not what harden repair or prune wrote: give the .json beside the hardened model"
    )


def _measured(path: Path) -> BenchResult:
    try:
        return BenchResult.read(path)
    except DataError as error:
        raise DataError(
            f"{path} is not what harden bench wrote: give the file of its -o"
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


def _usual(scanned: ScanResult, kind: TriggerKind, but: Sequence[int], count: int) -> list[int]:
    """The labels whose triggers of a kind are nearest to the median, ascending."""
    others = [row for row in scanned.searched if row.label not in but]
    nearest = sorted(others, key=lambda row: abs(_relative(row, kind) - 1))
    return sorted(row.label for row in nearest[:count])


def _relative(row: LabelEvidence, kind: TriggerKind) -> float:
    match kind:
        case "patch":
            return row.relative_size
        case "additive":
            return row.additive.relative_size
        case "warp":
            return row.warp.relative_size


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
    scanned: ScanResult, changed: Hardened | None, measured: BenchResult | None
) -> list[Drawn]:
    drawn: list[Drawn] = []
    if scanned.searched:
        pruned = changed.channels if isinstance(changed, PruneResult) else ()
        drawn += [label_sizes(scanned), channel_gaps(scanned, pruned)]
    if isinstance(changed, PruneResult) and changed.sweep:
        drawn.append(sweep(changed))
    if isinstance(changed, RepairResult) and changed.rounds:
        drawn.append(repair_rounds(changed))
    if measured is not None:
        drawn.append(latencies(measured))
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
    scanned: ScanResult, changed: Hardened | None, measured: BenchResult | None
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
    documents: tuple[tuple[str, Run | None], ...] = (
        ("scan", scanned), ("hardening", changed), ("measurement", measured)
    )  # fmt: skip
    for name, document in documents:
        if document is not None:
            ran = f"{document.tool.name} {document.tool.version}, seed {document.seed}, "
            ran += f"{document.provider}, {document.threads} threads, {document.created}"
            rows.append((name, ran))
    return rows
