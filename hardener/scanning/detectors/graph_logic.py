"""Logic that somebody wrote into the graph: what it computes from pixels and never says.

Where an operand is the same for every clean image, the graph waits for something, or a part of the
network sleeps. Shifted, such an operand of a backdoor overrides what the network saw, by a way
around it. No search by gradients finds the trigger, for nothing has a slope before it wakes.
What is found is taken out of the graph that the other detectors look at.

Source: Bober-Irizar et al. 2023 (arXiv 2206.07840) and ShadowLogic (HiddenLayer 2024) for what is
looked for; looking for it by running clean images is ours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from pydantic import JsonValue

from hardener.arrays import AnyArray, FloatArray
from hardener.errors import ModelError
from hardener.model.classifier import Classifier
from hardener.model.constant_operands import constant_operands
from hardener.model.folding import ConstantOperand, folded
from hardener.model.waking import Waking, woken
from hardener.model.weightless import weightless
from hardener.scanning.detectors.detector import Detector
from hardener.scanning.finding import Doubt, Finding
from hardener.scanning.look import Look
from hardener.scanning.looked_for import WRITTEN
from hardener.subject import Subject

_CERTAIN = 0.97
"""Score of an operand that accuses; no curve made it."""
_FEWEST_WOKEN, _MOST_WOKEN = 10, 32
"""Images that operands are shifted on."""
_WOKEN_VALUES = 32 * 3 * 96 * 96
"""Values of those images, where that leaves enough of them."""


@dataclass(frozen=True, eq=False)
class Written:
    """A constant operand and what it does when it is shifted."""

    operand: ConstantOperand
    waking: Waking

    @property
    def accuses(self) -> bool:
        """Whether it leads around the network and overrides it.

        What sleeps inside a network, a dead branch or a gate that is always open, may override it
        as well once it is shifted.
        """
        return self.operand.bypass and self.waking.overrides

    def said(self, images: int) -> str:
        """A sentence on it."""
        waking = self.waking
        lead = (
            f"{self.operand.said} is {'' if self.operand.exact else 'all but '}the same on all "
            f"{images} clean images, though it is computed from the pixels"
        )
        if not waking.overrides:
            return f"{lead}: what it waits for, and what it does then, was not found"
        does = f"changes the label of {waking.moved:.0%}"
        if waking.sends:
            does = f"sends {waking.sent:.0%} of others to label {waking.label}"
        if self.accuses:
            return f"{lead} by a way around the network; shifted, it {does}"
        return f"{lead}; shifted, it {does}, as a part of a network that sleeps may do, too"


def without_graph_logic(subject: Subject, images: FloatArray) -> tuple[Subject, list[Written]]:
    """A subject whose graph no longer computes its constant operands, and what those were.

    Args:
        subject: the model and how to run it.
        images: (N, C, H, W) clean images in [0, 1].
    """
    classifier, machine = subject.classifier, subject.machine
    proto, signature = classifier.proto, classifier.signature
    found = constant_operands(proto, signature, _one_by_one(classifier, images), machine)
    if not found:
        return subject, []
    count = max(_FEWEST_WOKEN, min(_MOST_WOKEN, _WOKEN_VALUES // images[0].size))
    shown = list(_in_batches(classifier, images[:: max(1, len(images) // count)][:count]))
    looked = [Written(one, woken(proto, signature, one, shown, machine)) for one in found]
    # A gate that hardly moves may be a network's own: it counts where it overrides.
    written = [one for one in looked if one.operand.exact or one.waking.overrides]
    if not written:
        return subject, []
    operands = [one.operand for one in written]
    model = replace(
        classifier.model, proto=folded(proto, operands, signature.input, signature.batch)
    )
    bare = replace(subject, classifier=replace(classifier, model=model))
    try:
        onnx.checker.check_model(weightless(model.proto))
        bare.runner.run({signature.input: shown[0]})
    except (ModelError, onnx.checker.ValidationError):
        return subject, written  # Images do not lie along the first axis there, say.
    return bare, written


def graph_logic_finding(
    written: Sequence[Written], images: int, classes: int, searched: Sequence[int]
) -> Finding:
    """What constant operands say.

    Args:
        written: they, and what they do.
        images: how many they are the same on.
        classes: of the model.
        searched: labels that a scan looks at: others cannot be named as targets.
    """
    scores = np.zeros(classes, np.float32)
    for one in written:
        if one.accuses and one.waking.sends and one.waking.label in searched:
            scores[one.waking.label] = _CERTAIN
    accusing = [one for one in written if one.accuses]
    return Finding(
        scores=scores if scores.any() else None,
        whole=_CERTAIN if accusing else 0.0,
        against=tuple(one.said(images) for one in accusing),
        closing="a branch that waits for something and then overrides all else is no part of a "
        "classifier: somebody wrote it there",
        favour="all that the graph computes from the pixels changes with them",
        doubts=tuple(Doubt(one.said(images)) for one in written if not one.accuses),
        details={"operands": [_told(one) for one in written]},
    )


def _told(one: Written) -> dict[str, JsonValue]:
    waking = one.waking
    return {
        "tensor": one.operand.tensor,
        "said": one.operand.said,
        "accuses": one.accuses,
        "label": waking.label,
        "sent": waking.sent,
        "moved": waking.moved,
    }


def _run(look: Look) -> Finding:
    images = look.samples.fitted
    rest, written = without_graph_logic(look.subject, images)
    classes = look.subject.classifier.signature.classes
    finding = graph_logic_finding(written, len(images), classes, look.labels)
    return finding if rest is look.subject else replace(finding, rest=rest)


def _one_by_one(classifier: Classifier, images: FloatArray) -> Iterator[AnyArray]:
    for image in images:
        (values,) = classifier.feeds(image[None]).values()
        yield np.repeat(values, classifier.signature.batch or 1, axis=0)


def _in_batches(classifier: Classifier, images: FloatArray) -> Iterator[AnyArray]:
    """Batches that the model takes; a fixed one is filled up with its last image."""
    (values,) = classifier.feeds(images).values()
    size = classifier.batch_size
    for start in range(0, len(values), size):
        part = values[start : start + size]
        lacking = size - len(part) if classifier.signature.batch is not None else 0
        yield np.concatenate([part, np.repeat(part[-1:], lacking, axis=0)])


LOGIC = Detector(_run, (WRITTEN,))
