"""Whether a repair lasts: repaired networks fine-tuned on clean images and a few poisoned ones.

`python -m benchmarks.leaderboard --method repair` first: its repaired networks are read. Only
victims with a clean twin take part, which tells how fast the attack is learnt by a network that
never knew it. The images are of the training part, which no repair sees.

Source: Min et al. 2024 (Uncovering, Explaining, and Mitigating the Superficial Safety of Backdoor
Defense, arXiv 2410.09838), section 3.2: purified networks may relearn in a few steps.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import nn

from benchmarks.rates import percent, rates
from benchmarks.setting import gtsrb, machine, write_results
from benchmarks.victims import Victim, victims
from hardener.model.classifier import open_classifier
from hardener.model.differentiation.network import GraphNetwork
from hardener.model.training import trained_weights, training_plan, with_weights
from models.attacks.attack import Attack
from models.datasets import Split, load_split
from models.recipes import RECIPES
from models.zoo import FOLDER

POISONED = (0, 5, 20, 50)
_IMAGES = 1000
_EPOCHS = 5
_BATCH = 50
_LEARNING_RATE = 0.01
_MOMENTUM = 0.9


def main(
    only: Annotated[list[str], typer.Option(help="Names of victims; repeatable.")],
    zoo: Annotated[Path, typer.Option(help="Folder of the victims and repairs.")] = FOLDER,
) -> None:
    """Fine-tunes victims, their repairs and clean twins; writes benchmarks/results/durability."""
    rows = [
        row
        for victim in victims(zoo.expanduser())
        if victim.name in only
        for row in _rows(victim, zoo.expanduser())
    ]
    if not rows:
        sys.exit("no victim that is there is called so: run benchmarks.leaderboard first")
    write_results("durability", {"machine": machine(), "rows": rows}, _markdown(rows))


def _rows(victim: Victim, zoo: Path) -> Iterator[dict[str, Any]]:
    repaired = zoo / "leaderboard" / f"{victim.name}-0" / "repair.onnx"
    if victim.clean_twin is None or not repaired.is_file() or victim.attack is None:
        sys.exit(f"{victim.name}: a clean twin and a repaired network are needed")
    images = load_split(RECIPES[victim.name].dataset, "train", gtsrb())
    networks = {"as it came": victim.model, "repaired": repaired, "clean twin": victim.clean_twin}
    for word, model in networks.items():
        for count in (None, *POISONED):
            with tempfile.TemporaryDirectory() as work:
                tuned = model
                if count is not None:
                    tuned = Path(work) / "tuned.onnx"
                    _fine_tune(model, images, victim.attack, count, victim, tuned)
                found = rates(tuned, victim.test, victim.attack, victim.preprocessing).as_json()
            yield {"victim": victim.name, "network": word, "poisoned": count, **found}


def _fine_tune(
    model: Path, split: Split, attack: Attack, count: int, victim: Victim, output: Path
) -> None:
    """Trains a network on a thousand images, so many of them stamped and labelled as attacked."""
    classifier = open_classifier(model, victim.preprocessing)
    plan, names = training_plan(classifier.proto, classifier.signature)
    network = GraphNetwork(plan, classifier.signature.layout == "NHWC", names).eval()
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(split.labels))[:_IMAGES]
    images, labels = split.images[chosen].float() / 255, split.labels[chosen].clone()
    marked = torch.nonzero(attack.wanted(labels) != labels).flatten()[:count]
    images[marked] = attack.stamp(images[marked])
    labels[marked] = attack.wanted(labels[marked])
    inputs = torch.from_numpy(classifier.preprocessing.apply(images.numpy()))
    optimiser = torch.optim.SGD(network.parameters(), _LEARNING_RATE, _MOMENTUM)
    for _ in range(_EPOCHS):
        for rows in np.array_split(rng.permutation(_IMAGES), _IMAGES // _BATCH):
            loss = nn.functional.cross_entropy(network(inputs[rows]), labels[rows])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
    output.write_bytes(with_weights(classifier.proto, trained_weights(network)).SerializeToString())


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        f"{_IMAGES:,} training images, {_EPOCHS} epochs, SGD with momentum and a learning rate of "
        f"{_LEARNING_RATE};",
        "rates on all test images with the true trigger, % with 95 % interval.",
        "",
        "| victim | network | poisoned images | accuracy | attack success |",
        "| --- " * 5 + "|",
    ]
    for row in rows:
        told = "not fine-tuned" if row["poisoned"] is None else str(row["poisoned"])
        cells = [row["victim"], row["network"], told, percent(row["accuracy"])]
        lines.append(f"| {' | '.join([*cells, percent(row['attack_success_rate'])])} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
