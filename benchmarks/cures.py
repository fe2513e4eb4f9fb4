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
from torch import Tensor

from benchmarks.leaderboard import rates
from benchmarks.setting import machine, write_results
from benchmarks.victims import Victim, victims
from hardener.data.similar import similar_groups, thumbnails
from hardener.data.splits import grouped_parts
from hardener.model.differentiation.network import GraphNetwork
from hardener.model.runtime import Machine
from hardener.repairing.attempts import AGAINST, DISTILLED
from hardener.repairing.closed_form import FIRST_SOLVED, PLACES
from hardener.repairing.cure import Patient, Weights, patient_of
from hardener.repairing.distillation import DISTILLATION
from hardener.repairing.linear_layers import LinearLayer, linear_layers, watched
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
_FOLDS = 5
_LEAST_RIDGE = 1e-30

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
    lines = ["| victim | way | accuracy | attack success | robust accuracy |", "| --- " * 5 + "|"]
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
        found = rates(work, victim.test, victim.attack, victim.preprocessing)
        success, robust = found.attack_success, found.robust_accuracy
        yield {
            "victim": victim.name,
            "way": way,
            "accuracy": f"{100 * found.accuracy.value:.2f}",
            "attack success": f"{100 * success.value:.2f}" if success else "",
            "robust accuracy": f"{100 * robust.value:.2f}" if robust else "",
        }
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
    """Each layer solved behind those that are, on triggers that the layer before was not.

    W = argmin  Σ ‖W a(x) - z(x)‖² + Σ ‖W a(t(x)) - z(x)‖² + ρ ‖W - W₁‖²,  a of the network so far,
    z the original's outputs of the layer, W₁ its weights so far, ρ the mean of the diagonal.
    """
    weights = dict(weights)
    layers = linear_layers(patient.plan, patient.changeable)
    for number, layer in enumerate(layers[int(FIRST_SOLVED * len(layers)) :]):
        came, now = (_Rows(patient, layer, given) for given in ({}, weights))
        constants = patient.plan.constants
        old, base = layer.matrix(constants), layer.matrix({**constants, **weights})
        gram, wanted = torch.zeros(()), torch.zeros(())
        pool = (folds[number % len(folds)],)
        drawn = pairs(patient.images, pool, patient.preprocessing, patient.device, number)
        for seed, (clean, stamped) in enumerate(drawn):
            outputs = came(clean, seed) @ old.transpose(1, 2)
            for rows in (now(clean, seed), now(stamped, seed)):
                gram = gram + rows.transpose(1, 2) @ rows
                wanted = wanted + outputs.transpose(1, 2) @ rows
        missing = wanted - base @ gram
        mean = gram.diagonal(dim1=1, dim2=2).mean(1).clamp(min=_LEAST_RIDGE)
        gram.diagonal(dim1=1, dim2=2).add_(mean[:, None])
        new = base + torch.linalg.solve(gram, missing, left=False)
        weights.update(layer.stored(new, patient.plan.constants))
    return weights


class _Rows:
    """Takes network inputs and gives what the outputs of one layer are sums of, in float64."""

    def __init__(self, patient: Patient, layer: LinearLayer, weights: Weights) -> None:
        self._seen = list[Tensor]()
        self._drawn = torch.Generator()

        def watch(layer: LinearLayer, x: Tensor) -> None:
            self._seen.append(layer.inputs(x.double(), self._drawn, PLACES))

        plan = watched(patient.plan.with_constants(weights), [layer], watch)
        self._network = GraphNetwork(plan, patient.signature.layout == "NHWC").eval()

    def __call__(self, inputs: Tensor, seed: int) -> Tensor:
        self._seen.clear()
        self._drawn.manual_seed(seed)
        with torch.no_grad():
            self._network(inputs)
        return torch.cat(self._seen, 1)


if __name__ == "__main__":
    typer.run(main)
