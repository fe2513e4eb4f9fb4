"""What a scan looked for, and how a prune and a repair ended, in a sentence each."""

from hardener.documents.hardening import Hardening
from hardener.documents.prune import PruneResult
from hardener.documents.repair import RepairResult
from hardener.documents.scan import LookedFor, ScanResult
from hardener.model.rewriting import REWRITES
from hardener.reporting.plain_text import percent


def not_looked_for(result: ScanResult) -> str:
    """What a scan does not look for; empty where the document does not tell."""
    kinds = "; ".join(row.attack for row in result.looked_for if not row.looked_for)
    return f"not looked for: {kinds}" if kinds else ""


def found_of(row: LookedFor) -> str:
    """Of how many networks or constructions with an attack a scan said so."""
    rate = row.found
    if rate is None:
        return "not measured"
    hits, low, high = round(rate.value * rate.n), percent(rate.low), percent(rate.high)
    return f"{hits} of {rate.n} (95 % interval {low} to {high})"


def prune_outcome(result: PruneResult) -> str:
    """What was pruned, or why nothing was written and what may help."""
    what = _what_was_pruned(result)
    endings = {
        "written": f"wrote {result.hardened.path if result.hardened else ''}: {what}",
        "planned": f"dry run, nothing written: {what}",
        "nothing-found": "the scan found no backdoor: nothing to prune, nothing written "
        "(--force prunes the most suspicious label's channels all the same)",
        "inconclusive": "the scan was inconclusive, its reasons say why: nothing written (--force "
        "prunes the most suspicious label's channels all the same)",
        "no-gain": "no threshold within the accuracy budget lowers the attack success rate: "
        "nothing written (harden repair may end it, or a larger --max-accuracy-drop or another "
        "--criterion)",
        "attack-left": f"more than {percent(result.max_attack_success)} of the attack is left: "
        "nothing written (harden repair may end it, or a larger --max-accuracy-drop or "
        "--max-attack-success, or another --criterion; --force writes all the same)",
        "over-budget": "the accuracy budget does not hold on images that the threshold was not "
        "chosen on: nothing written (--force writes all the same)",
    }
    return endings[result.outcome]


def repair_outcome(result: RepairResult) -> str:
    """What was repaired, or why nothing was written and what may help."""
    targets = ", ".join(map(str, result.targets))
    endings = {
        "written": f"wrote {result.hardened.path if result.hardened else ''}: {_done(result)}",
        "nothing-found": "the scan found no backdoor: nothing to repair, nothing written (--force "
        f"repairs label {targets}, the most suspicious, all the same)",
        "inconclusive": "the scan was inconclusive, its reasons say why: nothing written (--force "
        f"repairs label {targets}, the most suspicious, all the same)",
        "over-budget": _over_budget(result)
        + ": nothing written (a larger --max-accuracy-drop or more images may; --force writes all "
        "the same)",
        "attack-left": _attack_left(result)
        + ": nothing written (more --rounds or a larger --max-accuracy-drop may help, or harden "
        "prune; --force writes all the same)",
    }
    return endings[result.outcome]


def _done(result: RepairResult) -> str:
    """What was changed."""
    rounds = f"round {result.chosen_round}" if result.chosen_round is not None else ""
    taken = f"{len(result.removed)} of the graph's values made constant" if result.removed else ""
    graph = "" if result.removed else "the graph as it was"
    targets = f"target label {', '.join(map(str, result.targets))}" if result.targets else ""
    if not result.has_target and result.chosen_round is not None:
        targets = "all labels"
    return ", ".join(part for part in (targets, taken, rounds, graph) if part)


def _attack_left(result: RepairResult) -> str:
    """Which of the two speaks against the model."""
    left = result.residual_success
    held = (left.held_against if left else None) or 0.0
    if held > result.max_attack_success:
        where = "to the target label" if result.has_target else "where the attack sends them"
        return (
            f"triggers still send {percent(held)} of the images {where}, more than "
            f"{percent(result.max_attack_success)}"
        )
    return "searched again, the model would still be called backdoored"


def _over_budget(result: RepairResult) -> str:
    """What was reachable."""
    if result.chosen_round is not None or len(result.rounds) < 2:
        return "more accuracy is lost on images that nothing was fitted on than the budget allows"
    gentlest = min(result.rounds[1:], key=lambda row: row.accuracy_lost)
    return (
        f"even the gentlest cure costs {percent(gentlest.accuracy_lost)} of accuracy "
        f"(it leaves {percent(gentlest.attack_success_rate)} of the attack)"
    )


def _what_was_pruned(result: PruneResult) -> str:
    if only_bounds_channels(result) and result.threshold is not None:
        return f"{result.rewrite} at {result.criterion} threshold {result.threshold:.4g}"
    if len(result.convolutions) > 1:
        pruned = sum(len(convolution.pruned) for convolution in result.convolutions)
        every = sum(convolution.channels for convolution in result.convolutions)
        return (
            f"{pruned} of {every} channels of {len(result.convolutions)} convolutions, "
            f"{result.rewrite}"
        )
    return (
        f"{len(result.channels)} of {result.layer.channels} channels of {result.layer.name}, "
        f"{result.rewrite}"
    )


def only_bounds_channels(result: PruneResult) -> bool:
    """Whether the rewrite takes no channel out but acts on images that pass a limit."""
    rewrite = REWRITES.get(result.rewrite)
    return rewrite is not None and rewrite.limiting


def before_and_after(
    result: Hardening, attack: str
) -> tuple[tuple[str, float | None, float | None], ...]:
    """The rates that a hardening reports, each by its name; `attack` names the attack's."""
    return (
        ("accuracy", result.accuracy_before, result.accuracy_after),
        (attack, result.attack_success_rate_before, result.attack_success_rate_after),
        ("robust accuracy", result.robust_accuracy_before, result.robust_accuracy_after),
    )


def what_is_left(result: Hardening) -> tuple[tuple[str, str], ...]:
    """What reaches the target label of a repaired model; of another hardening nothing."""
    if not isinstance(result, RepairResult) or result.residual_success is None:
        return ()
    left = ("left by triggers at hand, with a margin", percent(result.residual_success.upper))
    there = "to the target label" if result.has_target else "where the attack sends its label"
    return left, (f"goes {there} without any trigger", percent(result.unprovoked))
