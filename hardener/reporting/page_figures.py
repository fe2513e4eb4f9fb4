"""Which figures a page has, by what was scanned, changed, measured and shown."""

from hardener.documents.bench import BenchResult
from hardener.documents.prune import PruneResult
from hardener.documents.repair import RepairResult
from hardener.documents.scan import ScanResult
from hardener.reporting.changes import Hardened
from hardener.reporting.drawing import Drawn
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
from hardener.reporting.model_views import ModelView
from hardener.reporting.plain_text import short_name
from hardener.scanning.found_exchanges import exchanges_labels

_RISING = 10


def figures_of(
    scanned: ScanResult,
    changed: Hardened | None,
    measured: BenchResult | None,
    shown: ModelView | None,
) -> list[Drawn]:
    """The figures of a page, in order.

    Args:
        scanned: the scan.
        changed: what `repair` or `prune` did.
        measured: what `bench` measured.
        shown: what the model shows on images.
    """
    drawn = [] if shown is None else _views(shown, scanned, changed)
    if scanned.searched and scanned.channels:
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


def _second(shown: ModelView, changed: Hardened | None) -> str:
    """The second model: the one that the document tells of, or another by its file's name."""
    hardened = None if changed is None else changed.hardened
    if hardened is not None and hardened.sha256 == shown.models[-1].sha256:
        return "hardened"
    return short_name(shown.models[-1].path)


def _views(shown: ModelView, scanned: ScanResult, changed: Hardened | None) -> list[Drawn]:
    drawn = [norm_histograms(shown)]
    if shown.maps:
        pruned = changed.channels if isinstance(changed, PruneResult) else ()
        rising = tuple(row.channel for row in scanned.channels[:_RISING])
        flag = "pruned" if pruned else "those that rise most under the scan's trigger"
        drawn.insert(0, activation_maps(shown, pruned or rising, flag))
    looked = any(maps for example in shown.examples for maps in example.heat_maps)
    # Where labels are exchanged there is no target label to draw them for.
    if looked and not exchanges_labels(scanned):
        drawn.insert(0, attention(shown, ("as it came", _second(shown, changed))))
    return drawn
