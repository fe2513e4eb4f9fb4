"""What running the trunk once saves: a sweep against full inference at every threshold.

    HARDEN_GTSRB=FOLDER python -m benchmarks.sweeping

32 thresholds under 3 input settings (clean, a synthetic and a true trigger), through the code
that `harden prune` uses; full inference runs the masked model on the same batches. Both count
the same answers, or there is no result.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_graphsurgeon as gs

from benchmarks.interleaving import Times, circumstances, interleaved, shown
from benchmarks.setting import WEIGHTS, exported, gtsrb, machine, write_results
from benchmarks.subjects import resnet18, write_noise
from hardener.arrays import IntArray
from hardener.data.images import ImageSource
from hardener.data.settings import CLEAN
from hardener.measuring.quality import Counts, Probe, count
from hardener.model.classifier import Classifier, open_classifier
from hardener.model.pooling import behind_pooling
from hardener.model.runtime import Machine, Runner, open_runner
from hardener.model.summing_head import summing_head
from hardener.model.topology import FeatureLayer, find_feature_layer
from hardener.model.trial_heads import mask_by_input, maskable_head
from hardener.pruning.sweep import feature_batches, keep_feed, sweep
from hardener.triggers.patch import Trigger, load_trigger

VICTIM = "alexnet-gtsrb-badnets"
THRESHOLDS, ROUNDS = 32, 4
IMAGES = {VICTIM: 256, "ResNet-18": 8}


def main() -> None:
    """Measures and writes `results/sweeping`."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        true = load_trigger(WEIGHTS / f"{VICTIM}.trigger.npz")
        write_noise(work / "large.npz", IMAGES["ResNet-18"], 224, 1000, seed=0)
        times = {
            VICTIM: _timed(
                open_classifier(exported(VICTIM, work)), gtsrb() / "gtsrb32-valid.zip", true
            ),
            "ResNet-18": _timed(open_classifier(resnet18(work)), work / "large.npz", None),
        }
    document = {
        "machine": machine(),
        "thresholds": THRESHOLDS,
        "settings": 3,
        "images": IMAGES,
        "time": {name: found.document() for name, found in times.items()},
    }
    lines = [
        "# A sweep against full inference",
        "",
        f"{THRESHOLDS} thresholds under 3 input settings, {machine()['cores']} cores "
        f"({machine()['processor']}), {ROUNDS} interleaved rounds, 95 % intervals. "
        f"{circumstances(list(times.values())[-1])}",
        "",
        "| model | images | seconds full | sweep | times faster | by processor seconds |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {IMAGES[name]} | {np.median(t.wall[0]):.2f} | "
            f"{np.median(t.wall[1]):.2f} | {shown(t.wall_ratio)} | {shown(t.processor_ratio)} |"
            for name, t in times.items()
        ),
        "",
        "The target is at least 10. Both ways gave the same counts.",
    ]
    write_results("sweeping", document, "\n".join(lines) + "\n")


def _timed(classifier: Classifier, data: Path, true: Trigger | None) -> Times:
    layer = find_feature_layer(classifier.proto, classifier.signature, classifier.model.shapes)
    source = classifier.open_data(data)
    wanted = IMAGES[VICTIM] if true is not None else IMAGES["ResNet-18"]
    indices = np.linspace(0, len(source) - 1, wanted).astype(np.int64)
    height, width = classifier.preprocessing.size
    corner = np.zeros((1, height, width), np.float32)
    corner[:, -height // 8 :, -width // 8 :] = 1
    synthetic = Trigger(corner, np.ones((3, height, width), np.float32), 0)
    probes = {CLEAN: Probe(), "clean+syn": Probe((synthetic,), 0)}
    second = true or Trigger(corner[:, ::-1], np.ones((3, height, width), np.float32), 0)
    probes["clean+ori"] = Probe((second,), second.label)
    order = np.random.default_rng(0).permutation(layer.channels)
    pruned = np.linspace(0, layer.channels - 1, THRESHOLDS).astype(int)
    kept = [~np.isin(np.arange(layer.channels), order[:number]) for number in pruned]

    def full(_: int) -> list[Mapping[str, Counts]]:
        return _fully(classifier, _masked(classifier, layer), source, indices, probes, kept)

    def swept(_: int) -> list[Mapping[str, Counts]]:
        cut = behind_pooling(classifier.proto, layer)
        batches = feature_batches(
            classifier, layer, source, probes, machine=Machine(), cut=cut, indices=indices
        )
        trials = sweep(
            maskable_head(classifier.proto, cut, classifier.signature),
            [keep_feed(channels) for channels in kept],
            batches,
            probes,
            machine=Machine(),
            stepping=summing_head(classifier.proto, cut, classifier.signature),
        )
        return [trial.counts for trial in trials]

    if full(0) != swept(0):
        raise SystemExit("the sweep counts other answers than full inference")
    return interleaved(full, swept, ROUNDS)


def _masked(classifier: Classifier, layer: FeatureLayer) -> Runner:
    """The whole model with the mask as an input."""
    graph = gs.import_onnx(classifier.proto)
    mask_by_input(graph, layer, np.dtype(np.float32))
    graph.cleanup()
    return open_runner(gs.export_onnx(graph, do_type_check=False), Machine())


def _fully(
    classifier: Classifier,
    runner: Runner,
    source: ImageSource,
    indices: IntArray,
    probes: Mapping[str, Probe],
    kept: list[np.ndarray],
) -> list[Mapping[str, Counts]]:
    totals = [dict.fromkeys(probes, Counts()) for _ in kept]
    for batch in classifier.batches(source, indices):
        for name, probe in probes.items():
            feeds = classifier.feeds(batch.images, probe.setting)
            for total, channels in zip(totals, kept, strict=True):
                (scores,) = runner.run(feeds | keep_feed(channels))
                total[name] += count(scores, batch.labels, probe.target)
    return list(totals)


if __name__ == "__main__":
    main()
