"""How long models take, run in turn so that a machine's drift hits all of them alike."""

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from hardener.arrays import AnyArray, FloatArray
from hardener.documents.bench import LatencyRow
from hardener.measuring.intervals import paired_ratio
from hardener.model.runtime import Runner

Call: TypeAlias = Callable[[], object]

WARMUP_RUNS = 10
_LEAST_RUNS = 20
_MOST_RUNS = 400


def bound_call(runner: Runner, input_name: str, output_name: str, images: AnyArray) -> Call:
    """One inference as a call without arguments.

    On CUDA and TensorRT input and output stay on the device (I/O binding), so that the call
    times the model and not the copies.
    """
    session = runner.session
    if runner.machine.provider == "cpu":
        feeds = {input_name: images}
        return lambda: session.run([output_name], feeds)
    import onnxruntime as ort  # noqa: PLC0415  only where a device is bound

    binding = session.io_binding()
    device = runner.machine.device
    placed = ort.OrtValue.ortvalue_from_numpy(images, "cuda", device)
    binding.bind_ortvalue_input(input_name, placed)
    binding.bind_output(output_name, "cuda", device)

    def run() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return run


def interleaved_times(calls: Sequence[Call], seconds: float) -> FloatArray:
    """Times calls round by round, each round in another order.

    Args:
        calls: one a model.
        seconds: about how long to measure; at least 20 and at most 400 rounds are run.

    Returns:
        Milliseconds (models, rounds).
    """
    for call in calls:
        for _ in range(WARMUP_RUNS):
            call()
    one_round = sum(_milliseconds(call) for call in calls) / 1000
    rounds = int(np.clip(seconds / max(one_round, 1e-9), _LEAST_RUNS, _MOST_RUNS))
    times = np.empty((len(calls), rounds), np.float32)
    for round_ in range(rounds):
        for offset in range(len(calls)):
            position = (round_ + offset) % len(calls)
            times[position, round_] = _milliseconds(calls[position])
    return times


def latency_row(
    times: FloatArray, first: FloatArray, runner: Runner, batch_size: int, seed: int
) -> LatencyRow:
    """Sums up one model's times (R,) beside the first model's in the same rounds."""
    p50, p95, p99 = (float(value) for value in np.percentile(times, [50, 95, 99]))
    return LatencyRow(
        provider=runner.machine.provider,
        batch_size=batch_size,
        threads=runner.machine.threads,
        warmup_runs=WARMUP_RUNS,
        timed_runs=len(times),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        images_per_s=batch_size / p50 * 1000,
        ratio=paired_ratio(times, first, seed),
    )


def _milliseconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000
