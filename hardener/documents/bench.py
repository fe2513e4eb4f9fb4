"""What `harden bench` measures."""

from hardener.documents.document import Run
from hardener.documents.identity import DataIdentity, ModelIdentity, PathText
from hardener.documents.rates import Rate, Ratio
from hardener.frozen import Frozen


class LatencyRow(Frozen):
    """Times of one model at one batch size, in milliseconds."""

    provider: str
    batch_size: int
    threads: int
    warmup_runs: int
    timed_runs: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    images_per_s: float
    ratio: Ratio
    """Its time divided by the first model's."""


class ModelBench(Frozen):
    """One model's measurements."""

    path: PathText
    sha256: str
    accuracy: Rate
    attack_success_rate: dict[str, Rate]
    """Under each input setting."""
    robust_accuracy: dict[str, Rate]
    """Under each input setting."""
    latency: tuple[LatencyRow, ...]
    latency_ratio: Ratio
    """Its time divided by the first model's, at batch 1 or at the batch that the model fixes."""
    file_bytes: int


class BenchResult(Run):
    """What `harden bench` writes."""

    model: ModelIdentity
    """The first of the models, which ratios compare with."""
    data: DataIdentity
    target: int | None
    """The label that counts as a hit; null where no attack was tried, or where all labels are
    exchanged: a hit is then where the scanned model sends most images of the same true label."""
    models: tuple[ModelBench, ...]
    """One row for each model, in the order in which they were named."""
