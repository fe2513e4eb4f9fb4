"""Ways to cure, on development victims: what each costs and leaves, by the true trigger.

`python -m benchmarks.leaderboard --method repair` first: its scans are read. All ways are given the
same images and start with the same triggers. Settings of a repair may be chosen by this table, so
that no victim of the test part may be in it.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.front_to_back import solved_front_to_back
from benchmarks.rates import rates
from benchmarks.setting import machine, write_results
from benchmarks.victims import Victim, victims
from hardener.data.similar import similar_groups, thumbnails
from hardener.data.splits import grouped_parts
from hardener.model.runtime import Machine
from hardener.repairing.attempts import AGAINST, DISTILLED
from hardener.repairing.cure import Patient, Weights, patient_of
from hardener.repairing.distillation import DISTILLATION
from hardener.repairing.rounds import UNIVERSAL_SIZES
from hardener.repairing.stamping import Pool, in_strengths, pairs
from hardener.repairing.universal import UNIVERSAL, UniversalSettings, universal_triggers
from hardener.scanning.evidence import LEAST_SUCCESS
from hardener.scanning.reopening import open_as_scanned
from hardener.scanning.saved import load_working_triggers
from hardener.triggers.additive import ADDITIVE, AdditiveTrigger
from hardener.triggers.families import strengthened
from models.zoo import FOLDER, part_of

_PASSES = 3
_FOLDS = 2

Spread = Callable[[torch.nn.Module, int, UniversalSettings], list[AdditiveTrigger]]


def main(
    only: Annotated[list[str], typer.Option(help="Names of victims; repeatable.")],
    zoo: Annotated[Path, typer.Option(help="Folder of the victims and their scans.")] = FOLDER,
) -> None:
    """Cures victims in every way and writes benchmarks/results/cures."""
    if tested := [name for name in only if part_of(name) == "test"]:
        sys.exit(f"{', '.join(tested)}: of the test part, which only reports")
    rows = [
        row
        for victim in victims(zoo.expanduser())
        if victim.name in only
        for row in _cured(victim, zoo.expanduser())
    ]
    if not rows:
        sys.exit("no victim that is there is called so: run python -m models.zoo first")
    heads = [name.replace("_", " ") for name in rows[0]]
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    lines += [f"| {' | '.join(map(str, row.values()))} |" for row in rows]
    write_results("cures", {"machine": machine(), "rows": rows}, "\n".join(lines) + "\n")


def _cured(victim: Victim, zoo: Path) -> Iterator[dict[str, object]]:
    saved, classifier = open_as_scanned(
        victim.model, zoo / "leaderboard" / f"{victim.name}-0" / "scan", victim.preprocessing
    )
    source = classifier.open_data(victim.valid)
    groups = similar_groups(thumbnails(classifier.batches(source), len(source)), source.labels)
    fitted, *_ = grouped_parts(source.labels, groups, (2, 1, 1), 0)
    patient = patient_of(classifier, classifier.images_of(source, fitted), Machine())
    triggers = load_working_triggers(saved, LEAST_SUCCESS)
    size = saved.result.medians[ADDITIVE.name]

    def spread(
        network: torch.nn.Module, seed: int, settings: UniversalSettings
    ) -> list[AdditiveTrigger]:
        return in_strengths(
            [
                trigger
                for relative in UNIVERSAL_SIZES
                for label in sorted({trigger.label for trigger in triggers})
                for trigger in universal_triggers(
                    network,
                    patient.images,
                    patient.preprocessing,
                    label,
                    relative * size,
                    seed,
                    patient.device,
                    settings=settings,
                )
            ]
        )

    pool = [*triggers, *map(strengthened, triggers)], spread(patient.frozen, 1, UNIVERSAL)
    work = zoo / "leaderboard" / f"{victim.name}-0" / "cure.onnx"
    for way, weights in _ways(patient, pool, spread):
        work.write_bytes(patient.with_weights(weights).SerializeToString())
        found = rates(work, victim.test, victim.attack, victim.preprocessing).as_json()
        told = {name: f"{100 * rate['value']:.2f}" if rate else "" for name, rate in found.items()}
        yield {"victim": victim.name, "way": way, **told}
    work.unlink(missing_ok=True)


def _ways(patient: Patient, pool: Pool, spread: Spread) -> Iterator[tuple[str, Weights]]:
    yield "none", {}
    sums = patient.sums(pool, 1)
    for weight in (0.1, 0.4, 1.0):
        yield f"closed form, λ = {weight}", patient.solved(sums, weight)
    start = patient.solved(sums, 0.1)
    mended = start
    for number in range(DISTILLED):
        mended = patient.distilled(mended, pool, DISTILLATION, number, lambda _: None)
    yield "distilled on the same triggers", mended
    mended, met = start, list[AdditiveTrigger]()
    for number in range(DISTILLED):
        met += spread(patient.network(mended), 100 + number, AGAINST)
        mended = patient.distilled(mended, (*pool, met), DISTILLATION, number, lambda _: None)
    yield "distilled on what reaches the label on the way", mended
    weights: Weights = {}
    folds: list[list[AdditiveTrigger]] = [[] for _ in range(_FOLDS)]
    for number in range(_PASSES):
        network = patient.network(weights)
        for position, fold in enumerate(folds):
            fold.extend(spread(network, 1000 * (number + 1) + position, AGAINST))
        weights = _front_to_back(patient, weights, folds)
        yield f"front to back, {number + 1} passes", weights


def _front_to_back(
    patient: Patient, weights: Weights, folds: Sequence[Sequence[AdditiveTrigger]]
) -> Weights:
    """One pass, on other triggers for neighbouring layers."""

    def stamped(number: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        pool = (folds[number % len(folds)],)
        return pairs(patient.images, pool, patient.preprocessing, patient.device, number)

    return solved_front_to_back(patient.closed_form, weights, stamped)


if __name__ == "__main__":
    typer.run(main)
