"""Results of repair, prune and bench without the work, with numbers as wide as they come."""

from hardener.documents.bench import BenchResult, LatencyRow, ModelBench
from hardener.documents.identity import DataIdentity, Layer, ModelIdentity
from hardener.documents.prune import PruneResult, SweepRow
from hardener.documents.rates import Rate, Ratio
from hardener.documents.repair import (
    AccuracyLost,
    AttackLeft,
    RepairResult,
    RepairRound,
    ResidualSuccess,
)

_MODEL = ModelIdentity(path="m.onnx", sha256="0" * 64)
_DATA = DataIdentity(path="d.zip", sha256="0" * 64, count=12630)
_LAYER = Layer(name="relu_4", channels=128, axis=1)


def some_repair() -> RepairResult:
    """A repair in one round, which is kept."""
    before = RepairRound(
        triggers=0,
        weight=0,
        accuracy=1,
        attack_success_rate=1,
        robust_accuracy=0.05,
        strengthened_success_rate=1,
        strengthened_tries=9,
        suspicion=0.97,
    )
    after = before.model_copy(
        update={
            "attack_success_rate": 0.0,
            "robust_accuracy": 0.98,
            "weight": 0.1,
            "suspicion": 0.02,
        }
    )
    return RepairResult(
        seed=0,
        provider="cpu",
        model=_MODEL,
        data=_DATA,
        layer=_LAYER,
        outcome="written",
        targets=(8,),
        rounds=(before, after),
        chosen_round=1,
        max_accuracy_drop=0.01,
        max_attack_success=0.1,
        accuracy_before=0.98,
        accuracy_after=0.97,
        groups=812,
        accuracy_lost=AccuracyLost(value=0.01, low=-0.002, high=0.022),
        left=(
            AttackLeft(triggers="the scan's", label=8, success_rate=0.004, fitted=True),
            AttackLeft(triggers="of a second search", label=8, success_rate=0.012, fitted=False),
        ),
        residual_success=ResidualSuccess(estimate=0.012, upper=0.05, held_against=0.012),
        hardened=ModelIdentity(path="h.onnx", sha256="1" * 64),
    )


def some_prune(thresholds: int = 40) -> PruneResult:
    """A prune that chose the last of so many thresholds; the attack falls as they do."""
    rows = [
        SweepRow(
            threshold=thresholds - step,
            channels_pruned=step,
            accuracy=1,
            attack_success_rate=1 - step / (thresholds - 1),
            robust_accuracy=step / (thresholds - 1),
        )
        for step in range(thresholds)
    ]
    return PruneResult(
        seed=0,
        provider="cpu",
        model=_MODEL,
        data=_DATA,
        layer=_LAYER,
        outcome="no-gain",
        criterion="linf-gap",
        threshold=1,
        rewrite="fold",
        sweep=tuple(rows),
    )


def some_bench(*paths: str) -> BenchResult:
    """Models side by side with the same numbers, the widest there are."""
    rate, ratio = Rate(value=1, low=0.9997, high=1, n=12630), Ratio(value=1, low=0.98, high=1.02)
    settings = dict.fromkeys(("clean+ori", "clean+syn", "clean+ori+syn"), rate)
    latency = LatencyRow(
        provider="cpu",
        batch_size=256,
        threads=2,
        warmup_runs=1,
        timed_runs=1,
        p50_ms=190.10,
        p95_ms=202.92,
        p99_ms=214.73,
        images_per_s=12841,
        ratio=ratio,
    )
    models = tuple(
        ModelBench(
            path=path,
            sha256="0" * 64,
            accuracy=rate,
            attack_success_rate=settings,
            robust_accuracy=settings,
            latency=(latency,),
            latency_ratio=ratio,
            file_bytes=1_447_000,
        )
        for path in paths
    )
    return BenchResult(seed=0, provider="cpu", model=_MODEL, data=_DATA, target=8, models=models)
