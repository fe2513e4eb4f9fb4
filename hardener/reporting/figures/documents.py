"""Figures of a scan, a pruning, a repair and a measurement, from their documents alone.

Each takes a frozen document and returns what it drew. Text from outside (class names, paths) is
drawn as it is: a formula or markup in it means nothing.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from hardener.arrays import DoubleArray
from hardener.documents.bench import BenchResult
from hardener.documents.prune import PruneResult, SweepRow
from hardener.documents.repair import RepairResult, RepairRound
from hardener.documents.scan import LabelEvidence, ScanResult
from hardener.documents.trigger_evidence import TriggerEvidence
from hardener.errors import DataError
from hardener.reporting.drawing import BLUE, FAINT, GREEN, INK, ORANGE, PURPLE, Drawn, new_figure
from hardener.reporting.outcomes import only_bounds_channels
from hardener.reporting.plain_text import short_name
from hardener.scanning.evidence import LEAST_SUCCESS
from hardener.triggers.families import FAMILIES
from hardener.triggers.family import TriggerKind

KindEvidence: TypeAlias = TriggerEvidence

_WIDTH = 7.2
_LARGEST_SHOWN = 2.5
"""Of the median; what is larger stands at the upper edge."""
_MOST_NAMED = 3
_TEXTBOOK = 2.0
_BEFORE = 0.04
"""Of the thresholds' range: how far before the first the model as it came stands."""
_COUNTS_TOLD = 6


def label_sizes(scanned: ScanResult) -> Drawn:
    """How large every label's triggers are beside the medians, kind by kind.

    Small and filled means suspicious: few pixels, and it works on unseen images. Of many labels
    those that were only screened have no size and are not drawn.

    Raises:
        DataError: a scan without images has no triggers.
    """
    rows = scanned.searched
    if not rows:
        raise DataError("a scan without images has no triggers to draw")
    suspects = _named(rows, scanned)
    with new_figure(_WIDTH, 4.8) as figure:
        axes = figure.subplots(len(FAMILIES), 1, sharex=True)
        for axis, (kind, family) in zip(axes, FAMILIES.items(), strict=True):
            found, colour = _found(rows, kind), family.colour
            labels, largest = (
                np.array(list(found), int),
                max((one.relative_size for one in found.values()), default=0.0),
            )
            top = max(1.6, min(_LARGEST_SHOWN, largest * 1.1))
            sizes = {label: min(one.relative_size, top) for label, one in found.items()}
            works = np.array(
                [one.trigger_success_rate >= LEAST_SUCCESS for one in found.values()], bool
            )
            for chosen, face in ((works, colour), (~works, "none")):
                axis.scatter(
                    labels[chosen], np.array(list(sizes.values()))[chosen], 18, marker=family.mark,
                    facecolors=face, edgecolors=colour, linewidths=0.9,
                )  # fmt: skip
            axis.axhline(1, color=FAINT, linewidth=0.9, linestyle="--")
            axis.set_ylim(0, top * 1.02)
            axis.set_ylabel(f"{family.title.lower()}\n× median")
            axis.grid(axis="y")
            for label in suspects:
                if label in found and found[label].trigger_success_rate >= LEAST_SUCCESS:
                    axis.annotate(
                        str(label), (label, sizes[label]), (5, 4), textcoords="offset points",
                        color=ORANGE, fontweight="bold",
                    )  # fmt: skip
        axes[-1].set_xlabel(f"label (filled: works on {LEAST_SUCCESS:.0%} of unseen images)")
    patches = _found(rows, "patch")
    described = f"{len(rows)} labels; searches that found nothing are not drawn."
    if patches:
        label = min(patches, key=lambda one: patches[one].relative_size)
        described = (
            f"Of {len(rows)} labels, label {label} has the smallest patch beside the median: "
            f"{patches[label].relative_size:.2f} of it, which sends "
            f"{patches[label].trigger_success_rate:.0%} of unseen images there. Searches that "
            "found nothing are not drawn."
        )
    return Drawn("labels", "Size of each label's smallest trigger", described, figure)


def label_anomalies(scanned: ScanResult) -> Drawn:
    """The anomaly index of every label's triggers, kind by kind, beside the textbook's threshold.

    Source of the index and of the threshold of 2: Wang et al. 2019 (Neural Cleanse), section 4.

    Raises:
        DataError: a scan without images has no triggers.
    """
    rows = scanned.searched
    if not rows:
        raise DataError("a scan without images has no triggers to draw")
    drawn = {kind: _found(rows, kind) for kind in FAMILIES}
    indices = {
        label: max(found[label].anomaly_index for found in drawn.values() if label in found)
        for label in (row.label for row in rows)
        if any(label in found for found in drawn.values())
    }
    with new_figure(_WIDTH, 3.2) as figure:
        axis = figure.subplots()
        for kind, family in FAMILIES.items():
            values = [one.anomaly_index for one in drawn[kind].values()]
            axis.scatter(
                list(drawn[kind]), values, 18, marker=family.mark, facecolors="none",
                edgecolors=family.colour, label=family.title.lower(),
            )  # fmt: skip
        axis.axhline(_TEXTBOOK, color=FAINT, linewidth=0.9, linestyle="--")
        for label in (one for one in _named(rows, scanned) if one in indices):
            axis.annotate(
                str(label), (label, indices[label]), (5, 4), textcoords="offset points",
                color=ORANGE, fontweight="bold",
            )  # fmt: skip
        axis.set_xlabel("label (dashed: the textbook's threshold, which alone is no verdict)")
        axis.set_ylabel("anomaly index, in deviations")
        axis.grid(axis="y")
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    above = sum(index > _TEXTBOOK for index in indices.values())
    described = (
        f"Deviations by which a label's trigger is smaller than the median: {above} of {len(rows)} "
        f"labels pass {_TEXTBOOK:g} with some kind of trigger. Searches that found nothing are not "
        "drawn."
    )
    return Drawn("anomalies", "Anomaly of each label's triggers", described, figure)


def _found(rows: Sequence[LabelEvidence], kind: TriggerKind) -> dict[int, KindEvidence]:
    """By label what the searches for a kind of trigger found, where they found something."""
    evidence = {row.label: row.of_kind(kind) for row in rows}
    return {label: one for label, one in evidence.items() if not one.nothing_found}


def channel_gaps(scanned: ScanResult, pruned: Sequence[int] = ()) -> Drawn:
    """How far the peak of every channel rises under the most suspicious trigger.

    Args:
        scanned: the scan.
        pruned: channels that a pruning took out, marked.

    Raises:
        DataError: a scan without images has no channels.
    """
    if not scanned.channels:
        raise DataError("a scan without images has no channels to draw")
    by_channel = sorted(scanned.channels, key=lambda row: row.channel)
    clean = np.array([row.linf_clean for row in by_channel])
    triggered = np.array([row.linf_triggered for row in by_channel])
    marked = np.isin([row.channel for row in by_channel], list(pruned))
    with new_figure(_WIDTH, 3.6) as figure:
        axis = figure.subplots()
        axis.scatter(
            clean[~marked], triggered[~marked], 16, marker="o", color=BLUE, label="channel"
        )
        if marked.any():
            axis.scatter(
                clean[marked], triggered[marked], 22, marker="X", color=ORANGE, label="pruned"
            )
            axis.legend()
        right, top = (1.1 * max(float(one.max()), 1e-6) for one in (clean, triggered))
        axis.plot([0, right], [0, right], color=FAINT, linestyle="--", linewidth=0.9)
        axis.set_xlim(0, right)
        axis.set_ylim(0, max(top, right))
        axis.set_xlabel("mean peak activation (ℓ∞) on clean images")
        axis.set_ylabel("with the trigger")
        axis.grid()
        for row in scanned.channels[:_MOST_NAMED]:
            axis.annotate(
                str(row.channel), (row.linf_clean, row.linf_triggered), (5, 2),
                textcoords="offset points", color=INK,
            )  # fmt: skip
    first = scanned.channels[0]
    described = (
        f"{len(by_channel)} channels of {scanned.layer.name}. Channel {first.channel} rises most "
        f"under the trigger of label {scanned.suspect}: from {first.linf_clean:.2f} to "
        f"{first.linf_triggered:.2f}. Points on the dashed line do not rise."
    )
    return Drawn("channels", "Channels under the trigger", described, figure)


def sweep(result: PruneResult) -> Drawn:
    """Accuracy, attack success and robust accuracy by threshold, in the order of the sweep.

    The model as it came stands before the first threshold; above are the channels pruned.

    Raises:
        DataError: named channels were pruned, without a sweep.
    """
    rows = result.sweep
    known = [row.threshold for row in rows if row.threshold is not None]
    if not known:
        raise DataError("channels that were named are pruned without a sweep")
    before = known[0] + _BEFORE * ((known[0] - known[-1]) or 1.0)
    along = [before if row.threshold is None else row.threshold for row in rows]
    with new_figure(_WIDTH, 3.8) as figure:
        axis = figure.subplots()
        _rates(axis, rows, along, "")
        if result.threshold is not None:
            axis.axvline(result.threshold, color=INK, linewidth=0.9, linestyle=":")
        if result.max_accuracy_drop is not None:
            axis.axhline(
                rows[0].accuracy - result.max_accuracy_drop, color=BLUE, linewidth=0.7,
                linestyle=":", label="accuracy budget",
            )  # fmt: skip
        axis.set_xlim(along[0], along[-1])
        axis.set_xlabel(f"threshold of {result.criterion} (left edge: as it came; dotted: chosen)")
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        above = axis.twiny()
        above.set_xlim(axis.get_xlim())
        told = _nearest(along, np.linspace(along[0], along[-1], _COUNTS_TOLD))
        above.set_xticks(
            [along[place] for place in told], [str(rows[place].channels_pruned) for place in told]
        )
        above.set_xlabel(
            "channels over their limit" if only_bounds_channels(result) else "channels pruned"
        )
        above.spines["top"].set_visible(True)
    described = (
        f"{len(known)} thresholds of {result.criterion}, from {known[0]:.4g} with "
        f"{rows[len(rows) - len(known)].channels_pruned} channels to {known[-1]:.4g} with "
        f"{rows[-1].channels_pruned}; on {result.chosen_on} images."
    )
    if result.threshold is not None:
        counts = [r.channels_pruned for r in rows if r.threshold == result.threshold]
        described += f" Chosen: {result.threshold:.4g} with {max(counts, default=0)}."
    if result.max_accuracy_drop is not None:
        described += f" The budget allows {100 * result.max_accuracy_drop:g} points of accuracy."
    return Drawn("sweep", "What each threshold would give", described, figure, tuple(along))


def _nearest(places: Sequence[float], wanted: DoubleArray) -> list[int]:
    distances = np.abs(np.array(places)[:, np.newaxis] - wanted)
    return sorted(set(distances.argmin(axis=0).tolist()))


def _rates(
    axis: Axes, rows: Sequence[SweepRow | RepairRound], along: Sequence[float], marks: str
) -> None:
    """Draws the three rates; `marks` has one mark a rate, or none."""
    curves = (
        ("accuracy", BLUE, "-", [row.accuracy for row in rows]),
        ("attack success rate", ORANGE, "--", [row.attack_success_rate for row in rows]),
        ("robust accuracy", GREEN, "-.", [row.robust_accuracy for row in rows]),
    )
    for place, (name, colour, style, values) in enumerate(curves):
        axis.plot(
            along, values, color=colour, linestyle=style, label=name,
            marker=marks[place] if marks else None,
        )  # fmt: skip
    axis.set_ylim(-0.03, 1.03)
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.grid(axis="y")


def repair_rounds(result: RepairResult) -> Drawn:
    """Accuracy, attack success and robust accuracy after each round of a repair.

    Raises:
        DataError: nothing was repaired.
    """
    rows = result.rounds
    if not rows:
        raise DataError("nothing was repaired: there are no rounds to draw")
    with new_figure(_WIDTH, 3.2) as figure:
        axis = figure.subplots()
        _rates(axis, rows, range(len(rows)), "os^")
        stronger = [row.strengthened_success_rate for row in rows]
        axis.plot(stronger, color=PURPLE, linestyle=":", marker="D", label="of stronger triggers")
        if result.chosen_round is not None:
            axis.axvline(result.chosen_round, color=INK, linewidth=0.9, linestyle=":")
        axis.set_xticks(range(len(rows)), ["as it came", *map(str, range(1, len(rows)))])
        axis.set_xlabel("round (dotted: the one that was kept)")
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    last = rows[-1 if result.chosen_round is None else result.chosen_round]
    described = (
        f"Attack success goes from {rows[0].attack_success_rate:.1%} to "
        f"{last.attack_success_rate:.1%}, accuracy from {rows[0].accuracy:.1%} to "
        f"{last.accuracy:.1%}; on the {result.chosen_on} images that chose the round."
    )
    return Drawn("rounds", "What each round of the repair gave", described, figure)


def latencies(measured: BenchResult) -> Drawn:
    """Median and 95th percentile of each model's latency, batch size by batch size.

    Raises:
        DataError: no latency was measured.
    """
    rows = [(place, row) for place, model in enumerate(measured.models) for row in model.latency]
    if not rows:
        raise DataError("no latency was measured")
    batches = sorted({row.batch_size for _, row in rows})
    names = [short_name(model.path) for model in measured.models]
    colours = (BLUE, ORANGE, GREEN, PURPLE, INK)
    height = 1.2 + 0.3 * len(rows)
    with new_figure(_WIDTH, height) as figure:
        axes = figure.subplots(len(batches), 1, squeeze=False)[:, 0]
        for axis, batch in zip(axes, batches, strict=True):
            own = [(place, row) for place, row in rows if row.batch_size == batch]
            for position, (place, row) in enumerate(own):
                axis.barh(position, row.p50_ms, color=colours[place % len(colours)], height=0.6)
                axis.plot([row.p50_ms, row.p95_ms], [position] * 2, color=INK, linewidth=1.2)
            axis.set_yticks(range(len(own)), [names[place] for place, _ in own], parse_math=False)
            axis.invert_yaxis()
            axis.set_xlim(left=0)
            axis.set_title(f"batch {batch}", fontsize=10, loc="left")
        axes[-1].set_xlabel("milliseconds a batch: median, and a line to the 95th percentile")
    first = rows[0][1]
    described = (
        f"On {first.provider} with {first.threads} threads. "
        + "; ".join(
            f"{names[place]}, batch {row.batch_size}: {row.p50_ms:.2f} ms" for place, row in rows
        )
        + "."
    )
    return Drawn("latency", "Latency", described, figure)


def _named(rows: Sequence[LabelEvidence], scanned: ScanResult) -> list[int]:
    searched = {row.label for row in rows}
    return [label for label in (scanned.targets or (scanned.suspect,)) if label in searched]
