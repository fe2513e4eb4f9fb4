"""Results of a scan without the scan."""

from collections.abc import Sequence

import numpy as np

from hardener.documents.identity import DataIdentity, Layer, ModelIdentity, Normalisation
from hardener.documents.scan import ChannelEvidence, LabelEvidence, MaxMean, NormSummary, ScanResult
from hardener.scanning.saved import trigger_digest
from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.family import SyntheticTrigger, TriggerKind
from hardener.triggers.patch import Trigger
from hardener.triggers.warp import Warp


def scan_of(triggers: Sequence[SyntheticTrigger], seed: int) -> ScanResult:
    """A finished scan with these triggers, first all patches, then all additive ones, then all
    warps.

    Every size is 1, so that sizes relative to the median are sizes.
    """
    spread, third = MaxMean(max=1.0, mean=0.5), len(triggers) // 3
    kinds: tuple[TriggerKind, ...] = ("patch", "additive", "warp")
    return ScanResult(
        seed=seed,
        provider="cpu",
        model=ModelIdentity(path="m.onnx", sha256="0" * 64),
        data=DataIdentity(path="d.zip", sha256="0" * 64, count=6),
        verdict="backdoored",
        score=0.9,
        targets=(0,),
        suspect=0,
        accuracy=0.9,
        preprocessing=Normalisation(size=(64, 64), mean=(0.5,) * 3, std=(0.2,) * 3),
        layer=Layer(name="feature", channels=1, axis=1),
        labels=tuple(
            LabelEvidence(
                label=patch.label,
                kind=kinds[patch.label % 3],
                mask_l1=1.0,
                anomaly_index=1.0,
                relative_size=1.0,
                trigger_success_rate=0.5,
                trigger_sha256=trigger_digest(patch),
                additive={
                    "perturbation_l2": 1.0,
                    "anomaly_index": 1.0,
                    "relative_size": 1.0,
                    "trigger_success_rate": 0.5,
                    "trigger_sha256": trigger_digest(faint),
                },
                warp={
                    "displacement_rms": 1.0,
                    "anomaly_index": 1.0,
                    "relative_size": 1.0,
                    "trigger_success_rate": 0.25,
                    "trigger_sha256": trigger_digest(warp),
                },
            )
            for patch, faint, warp in zip(
                triggers[:third], triggers[third : 2 * third], triggers[2 * third :], strict=True
            )
        ),
        norms={"clean": NormSummary(l1=spread, l2=spread, linf=spread)},
        channels=(ChannelEvidence(channel=0, linf_clean=1.0, linf_triggered=2.0, gap=1.0),),
        reasons=(),
    )


def some_scan(searched: int = 3, /, **changes: object) -> ScanResult:
    """A finished scan of so many labels, 0 being the target, with fields changed as named."""
    one = np.ones((3, 8, 8), np.float32)
    triggers: list[SyntheticTrigger] = [Trigger(one[:1], one, label) for label in range(searched)]
    triggers += [AdditiveTrigger(one, label) for label in range(searched)]
    triggers += [Warp(np.zeros((2, 2, 2), np.float32), label) for label in range(searched)]
    found = scan_of(triggers, 0).model_dump() | {"created": "2026-01-02T03:04:05+00:00"}
    return ScanResult.model_validate(found | changes)
