"""How the feature layer's channels answer to the suspect's trigger, over all clean images."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hardener.data.settings import CLEAN, Setting
from hardener.documents.scan import ChannelEvidence, MaxMean, NormSummary
from hardener.errors import UsageError
from hardener.measuring.quality import Probe
from hardener.model.topology import FeatureLayer
from hardener.progress import Progress, counting
from hardener.scanning.activations import ChannelNorms, OverImages, profile
from hardener.subject import Subject

CHANNELS_STAGE = "measuring channels"
"""What progress calls it."""


@dataclass(frozen=True)
class Answers:
    """What the model and its feature layer answer.

    Attributes:
        accuracy: on the clean images.
        images: how many there were.
        norms: of the feature layer, by input setting.
        channels: strongest rise under the synthetic trigger first.
    """

    accuracy: float
    images: int
    norms: Mapping[str, NormSummary]
    channels: tuple[ChannelEvidence, ...]


def measure_answers(
    subject: Subject, feature: FeatureLayer, settings: Mapping[str, Setting], progress: Progress
) -> Answers:
    """Measures accuracy and norms in one pass over the images.

    Args:
        subject: the model and its images.
        feature: its feature layer.
        settings: input settings by name, of which one is `CLEAN` and one the synthetic trigger's.
        progress: told how far it is.

    Raises:
        InconclusiveError: an activation or a logit is not finite.
        UsageError: there are no images.
    """
    if subject.source is None:
        raise UsageError("there are no images to measure channels on: give --data")
    profiles = profile(
        subject.classifier,
        feature,
        subject.source,
        {name: Probe(setting) for name, setting in settings.items()},
        machine=subject.machine,
        on_batch=counting(progress, CHANNELS_STAGE, len(subject.source)),
    )
    counts = profiles[CLEAN].counts
    return Answers(
        accuracy=counts.correct / counts.n,
        images=counts.n,
        norms={name: _summary(found.norms) for name, found in profiles.items()},
        channels=_ranked(profiles[CLEAN].norms, profiles["clean+syn"].norms),
    )


def _summary(norms: ChannelNorms) -> NormSummary:
    def of(values: OverImages) -> MaxMean:
        return MaxMean(max=float(values.max.max()), mean=float(values.mean.mean()))

    return NormSummary(l1=of(norms.l1), l2=of(norms.l2), linf=of(norms.linf))


def _ranked(clean: ChannelNorms, triggered: ChannelNorms) -> tuple[ChannelEvidence, ...]:
    before, after = clean.linf.mean, triggered.linf.mean
    gap = after - before
    return tuple(
        ChannelEvidence(
            channel=int(channel),
            linf_clean=float(before[channel]),
            linf_triggered=float(after[channel]),
            gap=float(gap[channel]),
        )
        for channel in np.argsort(-gap, kind="stable")
    )
