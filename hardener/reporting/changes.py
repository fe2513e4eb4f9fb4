"""What was done to a model and what that changed, in words and as a table."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from hardener.documents.bench import BenchResult, ModelBench
from hardener.documents.prune import PruneResult
from hardener.documents.rates import Rate
from hardener.documents.repair import RepairResult
from hardener.reporting.outcomes import before_and_after, only_bounds_channels, what_is_left
from hardener.reporting.plain_text import percent

Hardened: TypeAlias = PruneResult | RepairResult


@dataclass(frozen=True)
class Changes:
    """A table.

    Attributes:
        on: which images it is of, as a sentence.
        heads: of the columns of values.
        rows: what is told, and a value a column.
    """

    on: str = ""
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, tuple[str, ...]], ...] = ()


def done(changed: Hardened) -> list[str]:
    """How the model was hardened, or why it was not, as sentences."""
    if changed.hardened is None:
        said = f"Nothing was written: {changed.outcome.replace('-', ' ')}."
    elif isinstance(changed, RepairResult):
        said = (
            f"Repaired ({changed.way}) on {changed.images_used} clean images, "
            f"without training data: round {changed.chosen_round} of {len(changed.rounds) - 1} was "
            "kept. The graph is as it was, its weights are new."
        )
    elif only_bounds_channels(changed):
        said = (
            f"A {changed.rewrite} by {changed.criterion} bounds the channels of "
            f"{changed.layer.name}; no weight was changed."
        )
    else:
        said = (
            f"{len(changed.channels)} of {changed.layer.channels} channels of {changed.layer.name} "
            f"pruned by {changed.criterion} ({changed.rewrite})."
        )
    return [said, *changed.notes]


def to_ship(changed: Hardened | None) -> str:
    """What is left to do before the hardened model ships; empty where there is none."""
    if changed is None or changed.hardened is None:
        return ""
    kept = {True: "kept", False: "not kept", None: "not measured"}[changed.within_budget]
    name = Path(changed.hardened.path).name
    rates = "".join(
        f" {what.capitalize()} {before} → {after}."
        for what, (before, after) in _of_hardening(changed)
    )
    return (
        f"The hardened model is {name}; its accuracy budget was {kept}.{rates} Scan it before it "
        "ships."
    )


def changes(changed: Hardened | None, measured: BenchResult | None) -> Changes:
    """What was measured on test images; else what the hardening itself reports."""
    if measured is not None:
        return _of_models(measured, changed)
    if changed is None:
        return Changes()
    return Changes(
        f"On {changed.reported_on} clean images kept for this, with synthetic triggers",
        ("before", "after"),
        (*_of_hardening(changed), *((what, ("", rate)) for what, rate in what_is_left(changed))),
    )


def _of_hardening(changed: Hardened) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple(
        (what, (percent(before), percent(after)))
        for what, before, after in before_and_after(changed, "attack success rate")
        if before is not None and after is not None
    )


def _of_models(measured: BenchResult, changed: Hardened | None) -> Changes:
    models = measured.models
    hardened = None if changed is None else changed.hardened

    def named(model: ModelBench) -> str:
        name = Path(model.path).name
        return f"{name} (hardened)" if hardened and model.sha256 == hardened.sha256 else name

    rates = [("accuracy", [model.accuracy for model in models])]
    for setting in models[0].attack_success_rate:
        attack = [model.attack_success_rate[setting] for model in models]
        rates.append((f"attack success rate, {setting}", attack))
    for setting in models[0].robust_accuracy:
        robust = [model.robust_accuracy[setting] for model in models]
        rates.append((f"robust accuracy, {setting}", robust))
    return Changes(
        f"On {measured.data.count} images of {Path(measured.data.path).name}, with 95 % intervals",
        tuple(map(named, models)),
        (
            *((what, tuple(map(_interval, values))) for what, values in rates),
            ("latency of the smallest batch, of the first's", tuple(map(_ratio, models))),
            ("file, bytes", tuple(f"{model.file_bytes:,}" for model in models)),
        ),
    )


def _interval(rate: Rate) -> str:
    return f"{100 * rate.value:.2f} % ({100 * rate.low:.2f} to {100 * rate.high:.2f})"


def _ratio(model: ModelBench) -> str:
    ratio = model.latency_ratio
    return f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
