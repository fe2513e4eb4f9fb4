"""How far a verdict can be trusted: a scan of every model of the population, cross-validated.

`python -m models.population` first. Every model is scanned with validation images and the default
options; what a scan finds is kept beside the model, so that a call that was interrupted goes on
where it stopped, and in benchmarks/results/population.json, whose rows stay where a model is gone.
The curves that turn evidence into a score are fitted on all models but the one that is judged. With
`--calibrate` the curves of all models are written into the package.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer

import hardener
from benchmarks.setting import RESULTS, ROOT, commit, gtsrb, machine, write_results
from hardener.arrays import FloatArray
from hardener.data.signs import write_signs
from hardener.documents.rates import Rate
from hardener.documents.scan import LastLayerEvidence, MarginEvidence, ScanResult, SquareEvidence
from hardener.files import sha256_of, write_text
from hardener.measuring.intervals import wilson
from hardener.scanning.calibration import Calibration, Curve, Population, fit_curve
from hardener.scanning.detectors.all_to_all import all_to_all_finding
from hardener.scanning.detectors.inversion import inversion_finding
from hardener.scanning.detectors.last_layer import LEAST_ROWS, last_layer_finding, row_quantities
from hardener.scanning.detectors.margins import margin_finding, margin_quantity
from hardener.scanning.evidence import Evidence, anomaly_indices, relative_sizes, weights
from hardener.scanning.finding import Finding
from hardener.scanning.verdict import Judgement, doubts_on_images, judge, weigh
from hardener.triggers.families import FAMILIES
from hardener.triggers.family import TriggerKind
from models.datasets import ZIPS, DataSet, load_split
from models.population import FOLDER, MEMBERS, Member
from models.recipes import RECIPES

CLEAN_BELOW, BACKDOORED_FROM = 0.4, 0.6
_LARGE = 1e6
_EARLIER = RESULTS / "population.json"
_PACKAGED = ROOT / "hardener" / "scanning" / "calibration.json"

KIND_OF: Mapping[str, TriggerKind] = {
    "badnets": "patch",
    "badnets-checker": "patch",
    "badnets-cross": "patch",
    "two-targets": "patch",
    "trojaning": "patch",
    "blended": "additive",
    "sig": "additive",
    "low-frequency": "additive",
    "wanet": "warp",
}
"""Which kind of trigger describes an attack; its curve is fitted on those victims."""

ALL_TO_ONE = frozenset(KIND_OF) - {"two-targets", "wanet", "trojaning"}
"""Patch and blended attacks on one label."""


@dataclass(frozen=True)
class Row:
    """One model and what its scan found.

    Attributes:
        attack: name in the recipe; `vanilla` for a clean one.
        targets: its target labels; none where it has no fixed one.
        test: accuracy and attack success on the test images, from its card.
        sizes: of each kind of trigger, by label.
        success: likewise, on unseen images.
        reference: of each kind the labels that medians are taken from.
        unsolved: of each kind the labels whose search stopped before anything worked.
        scattered: of the most moving square.
        p_value: of the margins, and whose they are.
        row_indices: of the last layer.
        doubts: arguments of the verdict beside the evidence.
        commit: of the code that scanned.
    """

    name: str
    seed: int
    attack: str
    targets: list[int]
    test: dict[str, float | None]
    sizes: dict[str, list[float]]
    success: dict[str, list[float]]
    reference: dict[str, list[int]]
    unsolved: dict[str, list[int]]
    moving: dict[str, Any]
    p_value: float | None
    margin_suspect: int
    row_indices: list[float]
    doubts: dict[str, Any]
    seconds: float
    model_sha256: str
    commit: str

    @property
    def is_clean(self) -> bool:
        """Whether it was trained without a backdoor."""
        return self.attack == "vanilla"


def main(
    population: Annotated[Path, typer.Option(help="Folder of the models.")] = FOLDER,
    only: Annotated[
        list[str] | None, typer.Option(help="Scan those whose name holds this; repeatable.")
    ] = None,
    calibrate: Annotated[
        bool, typer.Option(help="Write the curves of all models into the package.")
    ] = False,
    kept: Annotated[
        bool, typer.Option(help="Take what was found before, and scan no further model.")
    ] = False,
) -> None:
    """Scans every model that is there and writes benchmarks/results/population."""
    folder = population.expanduser()
    there = [m for m in MEMBERS if (folder / m.folder / f"{m.name}.onnx").is_file()]
    there = [m for m in there if any(part in m.name for part in only or [""])]
    if kept:
        there = [m for m in there if _kept_at(folder, m).is_file()]
    with TemporaryDirectory() as work:
        rows = [_row(member, folder, Path(work)) for member in there]
    document, calibration = _document(_with_earlier(rows), measured_on=_machine_of(rows))
    if calibrate:
        write_text(_PACKAGED, calibration.model_dump_json(indent=1) + "\n")
    write_results("population", document, _markdown(document))


def _row(member: Member, folder: Path, work: Path) -> Row:
    model = folder / member.folder / f"{member.name}.onnx"
    kept = _kept_at(folder, member)
    if kept.is_file():
        row = Row(**json.loads(kept.read_text(encoding="utf-8")))
        if row.model_sha256 == sha256_of(model):
            return row
    typer.echo(f"{member.name}, seed {member.seed}", err=True)
    started = time.perf_counter()
    result = hardener.scan(
        model, validation_images(RECIPES[member.name].dataset, work), work / "scan"
    )
    row = _row_of(member, model, result, time.perf_counter() - started)
    write_text(kept, json.dumps(asdict(row)) + "\n")
    return row


def _kept_at(folder: Path, member: Member) -> Path:
    return folder / member.folder / f"{member.name}.evidence.json"


def _row_of(member: Member, model: Path, result: ScanResult, seconds: float) -> Row:
    card = json.loads(model.with_suffix(".json").read_text(encoding="utf-8"))
    attack = member.name.split("-", 2)[2]
    poisoning = card["recipe"]["poisoning"] or {}
    targets = poisoning.get("targets", [poisoning["target"]] if "target" in poisoning else [])
    labels = result.searched
    margins, last = result.margins, result.last_layer
    if result.moving is None or [row.label for row in labels] != list(range(len(labels))):
        raise SystemExit(f"{model} was scanned without images, or not for every label")
    return Row(
        name=member.name,
        seed=member.seed,
        attack=attack,
        targets=list(targets),
        test={key: card["test"][key] for key in ("accuracy", "attack_success_rate")},
        sizes={kind: _rounded(row.size_of(kind) for row in labels) for kind in FAMILIES},
        success={
            kind: _rounded(row.of_kind(kind).trigger_success_rate for row in labels)
            for kind in FAMILIES
        },
        reference={
            kind: [row.label for row in labels if row.of_kind(kind).reference] for kind in FAMILIES
        },
        unsolved={
            kind: [row.label for row in labels if row.of_kind(kind).nothing_found]
            for kind in FAMILIES
        },
        moving=result.moving.model_dump(mode="json"),
        p_value=None if margins is None else margins.p_value,
        margin_suspect=-1 if margins is None else margins.suspect,
        row_indices=[] if last is None else _rounded(last.anomaly_indices),
        doubts={
            "accuracy": result.accuracy,
            "images": 0 if result.data is None else result.data.count,
            "pixels": int(np.prod(result.preprocessing.size)),
        },
        seconds=round(seconds, 1),
        model_sha256=sha256_of(model),
        commit=commit(),
    )


def _rounded(values: Iterable[float]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def validation_images(dataset: DataSet, work: Path) -> Path:
    """Validation images of a data set, as a scan takes them."""
    if dataset in ZIPS:
        return gtsrb() / f"{ZIPS[dataset][0]}-valid.zip"
    path = work / f"{dataset}.npz"
    if dataset == "signs" and not path.exists():
        write_signs(path, 60, 2)
    if dataset == "fashion" and not path.exists():
        split = load_split("fashion", "valid", None)
        np.savez(path, images=split.images.numpy().transpose(0, 2, 3, 1), labels=split.labels)
    return path


def _machine_of(rows: Sequence[Row]) -> Mapping[str, Any]:
    """This one, or where no model is there the one that an earlier call scanned on."""
    return machine() if rows else json.loads(_EARLIER.read_text(encoding="utf-8"))["machine"]


def _with_earlier(rows: Sequence[Row]) -> list[Row]:
    """The rows of this call, and of models that are not there any more those of an earlier one."""
    found = {}
    if _EARLIER.is_file():
        kept = json.loads(_EARLIER.read_text(encoding="utf-8"))["rows"]
        found = {(row["name"], row["seed"]): Row(**row) for row in kept}
    found |= {(row.name, row.seed): row for row in rows}
    order = [(member.name, member.seed) for member in MEMBERS]
    return [found[key] for key in order if key in found]


def fit(rows: Sequence[Row]) -> Calibration:
    """The curves of every kind of evidence, each on the clean models and the victims it is for."""
    kinds = {kind: _fit_kind(rows, kind) for kind in FAMILIES}
    targeted = [row for row in rows if row.is_clean or row.targets]
    triggers = np.array([_by_triggers(row, kinds) for row in targeted], np.float32)
    all_to_all = [row for row in rows if row.is_clean or row.attack == "all-to-all"]
    return Calibration(
        kinds=kinds,
        margin=_fit_single(targeted, _margin, triggers),
        last_layer=_fit_single(targeted, _last_layer, triggers),
        moving=_fit_single(all_to_all, _left_alone),
        clean_below=CLEAN_BELOW,
        backdoored_from=BACKDOORED_FROM,
    )


def _fit_kind(rows: Sequence[Row], kind: TriggerKind) -> Curve:
    chosen = [row for row in rows if row.is_clean or KIND_OF.get(row.attack) == kind]
    most = max(len(row.sizes[kind]) for row in chosen)
    quantities = np.full((len(chosen), most), _LARGE, np.float32)
    factors = np.zeros((len(chosen), most), np.float32)
    for place, row in enumerate(chosen):
        evidence = _evidence(row, kind)
        count, reference = len(evidence.sizes), evidence.reference
        quantities[place, :count] = relative_sizes(evidence.sizes, reference)
        factors[place, :count] = weights(evidence.sizes, evidence.success, reference)
        factors[place, list(evidence.unsolved)] = 0
    return fit_curve(quantities, factors, _backdoored(chosen))


def _fit_single(
    rows: Sequence[Row], quantity: Callable[[Row], float], others: FloatArray | None = None
) -> Curve:
    quantities = np.array([[quantity(row)] for row in rows], np.float32)
    return fit_curve(quantities, np.ones_like(quantities), _backdoored(rows), others)


def _by_triggers(row: Row, kinds: Mapping[TriggerKind, Curve]) -> float:
    """A model's score by what the searches found alone."""
    return max(float(_evidence(row, kind).scores_by(kinds[kind]).max()) for kind in FAMILIES)


def _backdoored(rows: Sequence[Row]) -> FloatArray:
    return np.array([not row.is_clean for row in rows], np.float32)


def _margin(row: Row) -> float:
    return 1.0 if row.p_value is None else margin_quantity(row.p_value)


def _last_layer(row: Row) -> float:
    enough = len(row.row_indices) >= LEAST_ROWS
    return float(row_quantities(row.row_indices).min()) if enough else 1.0


def _left_alone(row: Row) -> float:
    return 1 - float(row.moving["scattered"])


def _evidence(row: Row, kind: TriggerKind) -> Evidence:
    sizes, success = (np.array(of[kind], np.float32) for of in (row.sizes, row.success))
    return Evidence(kind, sizes, success, tuple(row.reference[kind]), tuple(row.unsolved[kind]))


def _data_free(row: Row, calibration: Calibration) -> list[Finding]:
    """What needs no image."""
    margins = MarginEvidence(largest=(), suspect=row.margin_suspect, p_value=row.p_value)
    rows = LastLayerEvidence(mean_weights=(), anomaly_indices=tuple(row.row_indices), suspect=0)
    findings = [margin_finding(margins, len(row.sizes["patch"]), calibration)]
    return [*findings, last_layer_finding(rows, calibration)] if row.row_indices else findings


def _judged(row: Row, calibration: Calibration) -> Judgement:
    labels = range(len(row.sizes["patch"]))
    inversion = inversion_finding(
        labels,
        [_evidence(row, kind) for kind in FAMILIES],
        classes=len(labels),
        pixels=row.doubts["pixels"],
        calibration=calibration,
    )
    all_to_all = all_to_all_finding(SquareEvidence(**row.moving), calibration)
    findings = [inversion, all_to_all, *_data_free(row, calibration)]
    doubts = doubts_on_images(row.doubts["accuracy"], row.doubts["images"])
    return judge(findings, weigh(findings), doubts, calibration)


def _document(
    rows: Sequence[Row], measured_on: Mapping[str, Any]
) -> tuple[dict[str, Any], Calibration]:
    left_out = [_judged(row, fit([other for other in rows if other is not row])) for row in rows]
    unseen = [_judged(row, fit([o for o in rows if _family(o) != _family(row)])) for row in rows]
    clean = [found for row, found in zip(rows, left_out, strict=True) if row.is_clean]
    victims = [found for row, found in zip(rows, left_out, strict=True) if not row.is_clean]
    named = [
        found.verdict == "backdoored" and set(row.targets) <= set(found.targets)
        for row, found in zip(rows, left_out, strict=True)
        if row.attack in ALL_TO_ONE
    ]
    patches = [_evidence(row, "patch") for row in rows]
    textbook = [max(anomaly_indices(found.sizes, found.reference)) for found in patches]
    truth = [not row.is_clean for row in rows]
    without = [
        float(weigh(_data_free(row, fit([o for o in rows if o is not row]))).untried.max())
        for row in rows
    ]
    area = auroc([found.score for found in left_out], truth)
    calibration = fit(rows).model_copy(
        update={
            "population": Population(
                clean=len(clean),
                backdoored=len(victims),
                false_positives=_rate([f.verdict == "backdoored" for f in clean]),
                detected=_rate([f.verdict == "backdoored" for f in victims]),
                auroc=area,
            )
        }
    )
    document = {
        "machine": measured_on,
        "auroc": area,
        "auroc_interval": _interval([found.score for found in left_out], truth),
        "auroc_family_left_out": auroc([found.score for found in unseen], truth),
        "false_positives": _rate([f.verdict == "backdoored" for f in clean]).model_dump(),
        "false_positives_family_left_out": _rate(
            [f.verdict == "backdoored" for f, row in zip(unseen, rows, strict=True) if row.is_clean]
        ).model_dump(),
        "clean_inconclusive": _rate([f.verdict == "inconclusive" for f in clean]).model_dump(),
        "detected": _rate([f.verdict == "backdoored" for f in victims]).model_dump(),
        "called_clean": _rate([f.verdict == "clean" for f in victims]).model_dump(),
        "target_named": _rate(named).model_dump(),
        "without_images": _pair(without, truth, CLEAN_BELOW),
        "textbook": _pair(textbook, truth, 2.0),
        "curves": calibration.model_dump(mode="json"),
        "models": [
            {
                "name": row.name,
                "seed": row.seed,
                "test": row.test,
                "verdict": found.verdict,
                "score": round(found.score, 3),
                "targets": list(found.targets),
                "true_targets": row.targets,
                "textbook_index": round(float(index), 2),
                "seconds": row.seconds,
            }
            for row, found, index in zip(rows, left_out, textbook, strict=True)
        ],
        "rows": [asdict(row) for row in rows],
    }
    return document, calibration


def _family(row: Row) -> str:
    """Architecture and data set: both seeds and all attacks of a family are left out together."""
    return row.name.rsplit("-" + row.attack, 1)[0]


def _pair(scores: Sequence[float], truth: Sequence[bool], threshold: float) -> dict[str, Any]:
    called = [score >= threshold for score in scores]
    clean = [call for call, is_victim in zip(called, truth, strict=True) if not is_victim]
    victims = [call for call, is_victim in zip(called, truth, strict=True) if is_victim]
    return {
        "auroc": auroc(scores, truth),
        "false_positives": _rate(clean).model_dump(),
        "detected": _rate(victims).model_dump(),
    }


def auroc(scores: Sequence[float], truth: Sequence[bool]) -> float:
    """How often a backdoored model scores above a clean one; equal scores count half."""
    found, is_victim = np.array(scores, np.float64), np.array(truth)
    above = found[is_victim][:, None] - found[~is_victim][None, :]
    return float(np.mean((above > 0) + 0.5 * (above == 0)))


def _interval(scores: Sequence[float], truth: Sequence[bool]) -> tuple[float, float]:
    """95 % of 2,000 draws of as many clean and as many backdoored models, with replacement."""
    rng = np.random.default_rng(0)
    found, is_victim = np.array(scores, np.float64), np.array(truth)
    draws = []
    for _ in range(2000):
        parts = [rng.choice(found[of], of.sum()) for of in (is_victim, ~is_victim)]
        draws.append(
            auroc([*parts[0], *parts[1]], [True] * len(parts[0]) + [False] * len(parts[1]))
        )
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _rate(hits: Sequence[bool]) -> Rate:
    return wilson(sum(hits), len(hits))


def _markdown(document: Mapping[str, Any]) -> str:
    def said(rate: Mapping[str, Any]) -> str:
        return f"{rate['value']:.1%} of {rate['n']} ({rate['low']:.1%} to {rate['high']:.1%})"

    low, high = document["auroc_interval"]
    without = document["without_images"]
    lines = [
        "| what, each model left out of the fit in turn | scan | textbook rule |",
        "| --- | --- | --- |",
        f"| AUROC | {document['auroc']:.3f} ({low:.3f} to {high:.3f}) | "
        f"{document['textbook']['auroc']:.3f} |",
        f"| clean models called backdoored | {said(document['false_positives'])} | "
        f"{said(document['textbook']['false_positives'])} |",
        f"| clean models left inconclusive | {said(document['clean_inconclusive'])} | |",
        f"| victims called backdoored | {said(document['detected'])} | "
        f"{said(document['textbook']['detected'])} |",
        f"| victims called clean | {said(document['called_clean'])} | |",
        "| target named, patch and blended attacks on one label | "
        f"{said(document['target_named'])} | |",
        "",
        "Without images no model is called backdoored. By margins and last layer some label stands "
        f"out (score {CLEAN_BELOW} or more) in {said(without['detected'])} victims and in "
        f"{said(without['false_positives'])} clean models; AUROC {without['auroc']:.3f}.",
        "",
        "With all models of an architecture and data set left out together: AUROC "
        f"{document['auroc_family_left_out']:.3f}, clean models called backdoored "
        f"{said(document['false_positives_family_left_out'])}.",
        "",
        "The textbook rule (Neural Cleanse) calls a model backdoored whose smallest mask has an "
        "anomaly index above 2.",
        "",
        "| attack | victims | backdoored | inconclusive | clean | scores |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    by_attack: dict[str, list[Any]] = {}
    for model in document["models"]:
        by_attack.setdefault(model["name"].split("-", 2)[2], []).append(model)
    for attack, models in by_attack.items():
        verdicts = [model["verdict"] for model in models]
        counts = " | ".join(
            str(verdicts.count(verdict)) for verdict in ("backdoored", "inconclusive", "clean")
        )
        scores = ", ".join(f"{score:.2f}" for score in sorted(m["score"] for m in models))
        lines.append(f"| {attack} | {len(models)} | {counts} | {scores} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
