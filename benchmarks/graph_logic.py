"""Logic written into graphs: what a scan sees of it, what its removal leaves, and false alarms.

Three tables. Attacks of `models.graph_attacks` in trained hosts, development and test part apart:
what `graph-logic` says on validation images, a whole scan where that says nothing, and the true
trigger before and after the removal, on test images. Trained networks without any such logic, in
which nothing may be found; and the models of `benchmarks.matrix`, of random weights, likewise.

`python -m models.zoo` first.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import onnx
import torch
import typer

import hardener
from benchmarks.matrix import all_cases
from benchmarks.rates import rates
from benchmarks.setting import RESULTS, commit, machine, write_results
from benchmarks.third_party import clean_networks
from benchmarks.victims import Victim, victims
from hardener.arrays import FloatArray
from hardener.data.images import open_images
from hardener.data.signs import write_signs
from hardener.data.splits import stratified_sample
from hardener.errors import HardenError
from hardener.model.classifier import open_classifier
from hardener.model.runtime import Machine
from hardener.scanning.detectors.graph_logic import graph_logic_finding, without_graph_logic
from hardener.scanning.verdict import told
from hardener.subject import Subject
from models.graph_attacks.graph_attack import GraphAttack, host_of
from models.graph_attacks.table import GRAPH_ATTACKS, part_of
from models.zoo import FOLDER

HOSTS = (
    "vgg-cifar-vanilla",
    "resnet-cifar-vanilla",
    "mobilenet-cifar-vanilla",
    "alexnet-gtsrb-vanilla",
)
_IMAGES = 512
_MATRIX_IMAGES = 48
_TEST_IMAGES = 2000


def main(
    zoo: Annotated[Path, typer.Option(help="Folder of the victims.")] = FOLDER,
    only: Annotated[
        list[str] | None, typer.Option(help="attacks, networks or matrix; repeatable; else all.")
    ] = None,
    attack: Annotated[
        list[str] | None, typer.Option(help="Of the attacks those whose name holds this.")
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="Attacks in the networks whose name holds this.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Of the matrix those whose name holds this.")
    ] = None,
) -> None:
    """Measures and writes benchmarks/results/graph_logic; what is not asked for stays."""
    path = RESULTS / "graph_logic.json"
    tables = {
        "attacks": lambda: _attacks(zoo.expanduser(), host or [""], attack or [""]),
        "networks": lambda: _networks(zoo.expanduser()),
        "matrix": lambda: _matrix(model or [""]),
    }
    for name in only or tables:
        rows = list(tables[name]())
        document: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        new = {_key(row) for row in rows}
        earlier = document.get(name, {}).get("rows", [])
        rows = [
            *(row for row in earlier if _key(row) not in new),
            *(row | {"commit": commit()} for row in rows),
        ]
        document |= {"machine": machine(), name: {"rows": rows}}
        write_results("graph_logic", document, _markdown(document))


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a row is of."""
    return tuple(row.get(name) for name in ("host", "attack", "network", "model"))


def _attacks(
    zoo: Path, wanted_hosts: Sequence[str], wanted: Sequence[str]
) -> Iterator[dict[str, Any]]:
    hosts = {victim.name: victim for victim in victims(zoo)}
    for name in (name for name in HOSTS if any(part in name for part in wanted_hosts)):
        for attack in GRAPH_ATTACKS.values():
            if not any(part in attack.name for part in wanted):
                continue
            with TemporaryDirectory() as work:
                row = _attacked(hosts[name], attack, Path(work))
            if row is not None:
                typer.echo(json.dumps(row), err=True)
                yield row


def _attacked(host: Victim, attack: GraphAttack, work: Path) -> dict[str, Any] | None:
    model = work / "model.onnx"
    plain = open_classifier(host.model)
    source = plain.open_data(host.valid)
    tuned_on = plain.images_of(source, stratified_sample(source.labels, _IMAGES, 1))
    proto = onnx.load(host.model)
    try:
        changed = attack.insert(proto, host_of(proto, torch.from_numpy(tuned_on)))
    except HardenError:
        return None  # It needs another kind of network.
    onnx.save(changed, model)
    own = attack.attack.of_classes(plain.signature.classes)
    seen, subject, seconds = _looked(model, host)
    verdict, bare = seen["verdict"], work / "bare.onnx"
    onnx.save(subject.classifier.proto, bare)
    if verdict == "clean":
        verdict = _scanned_and_repaired(model, host, work, bare)
    before, after, never = (
        rates(one, host.test, own, most=_TEST_IMAGES) for one in (model, bare, host.model)
    )
    return {
        "host": host.name,
        "attack": attack.name,
        "part": part_of(attack.name),
        **seen,
        "scan": verdict,
        "true_target": getattr(own, "target", None),
        "before": before.as_json(),
        "after": after.as_json(),
        "host_itself": never.as_json(),
        "seconds": round(seconds, 2),
    }


def _scanned_and_repaired(model: Path, host: Victim, work: Path, repaired: Path) -> str:
    """The verdict of a whole scan; what that accuses is repaired as a user would."""
    try:
        found = hardener.scan(model, host.valid, work / "scan")
    except HardenError:
        return "refused"
    if found.verdict == "backdoored":
        hardener.repair(model, work / "scan", host.valid, work / "repaired.onnx")
        if (work / "repaired.onnx").is_file():
            (work / "repaired.onnx").replace(repaired)
    return str(found.verdict)


def _networks(zoo: Path) -> Iterator[dict[str, Any]]:
    for victim in (*victims(zoo), *clean_networks()):
        seen, _, seconds = _looked(victim.model, victim)
        yield {"network": victim.name, **seen, "seconds": round(seconds, 2)}


def _looked(model: Path, victim: Victim) -> tuple[dict[str, Any], Subject, float]:
    """What graph logic says of a model, the subject without it, and how long that took."""
    classifier = open_classifier(model, victim.preprocessing)
    source = classifier.open_data(victim.valid)
    subject = Subject(classifier, source, Machine(), 0)
    images = classifier.images_of(source, stratified_sample(source.labels, _IMAGES, 0))
    return _timed(subject, images)


def _timed(subject: Subject, images: FloatArray) -> tuple[dict[str, Any], Subject, float]:
    started = time.perf_counter()
    rest, written = without_graph_logic(subject, images)
    classes = subject.classifier.signature.classes
    finding = graph_logic_finding(written, len(images), classes, range(classes))
    seconds = time.perf_counter() - started
    labels = sorted({one.waking.label for one in written if one.accuses and one.waking.sends})
    seen = {"operands": len(written), "verdict": told("", finding).verdict, "labels": labels}
    return seen, rest, seconds


def _matrix(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Models of random weights, on rendered signs; those whose name holds one of some texts."""
    with TemporaryDirectory() as work:
        signs, model = Path(work) / "signs.npz", Path(work) / "model.onnx"
        write_signs(signs, 2, 5)
        for case in all_cases():
            if not any(name in case.title for name in names):
                continue
            try:
                case.write(model)
                classifier = open_classifier(model, ({"mean": (0.5,) * 3, "std": (0.25,) * 3},))
            except Exception:  # noqa: S112  what cannot be made or is refused is told elsewhere
                continue
            source = open_images(signs)
            positions = np.arange(0, len(source), len(source) // _MATRIX_IMAGES)
            images = classifier.images_of(source, positions[:_MATRIX_IMAGES])
            seen, _, seconds = _timed(Subject(classifier, source, Machine(), 0), images)
            row = {"model": case.title, **seen, "seconds": round(seconds, 2)}
            typer.echo(json.dumps(row), err=True)
            yield row


def _markdown(document: Mapping[str, Any]) -> str:
    parts: list[str] = []
    if "attacks" in document:
        parts += _attack_table(document["attacks"]["rows"])
    for name in ("networks", "matrix"):
        if name in document:
            parts.append(_alarms(name, document[name]["rows"]))
    return "\n\n".join(parts) + "\n"


def _attack_table(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for part in ("test", "development"):
        own = [row for row in rows if row["part"] == part]
        called = [row["scan"] for row in own]
        left, anyway = (
            [100 * row[when]["attack_success_rate"]["value"] for row in own]
            for when in ("after", "host_itself")
        )
        more = [after - host for after, host in zip(left, anyway, strict=True)]
        lost = [
            100 * (row["before"]["accuracy"]["value"] - row["after"]["accuracy"]["value"])
            for row in own
        ]
        yield (
            f"{part.capitalize()} part, {len(own)} attacks in {len({r['host'] for r in own})} "
            f"hosts: {called.count('backdoored')} called backdoored, "
            f"{called.count('inconclusive')} inconclusive, {called.count('refused')} refused, "
            f"{called.count('clean')} clean. Afterwards the true trigger keeps "
            f"{median(left):.2f} % in the median and {max(left):.2f} at worst, {max(more):.2f} "
            "points more at worst than in the host that never had the backdoor; accuracy lost "
            f"{max(lost):.2f} points at most."
        )
    lines = [
        "| host | attack | part | operands | graph logic | scan | labels | true | accuracy | "
        "attack success | after: accuracy | attack success | host itself | seconds |",
        "| --- " * 14 + "|",
    ]
    for row in rows:
        numbers = [
            f"{100 * row[when][what]['value']:.2f}"
            for when in ("before", "after")
            for what in ("accuracy", "attack_success_rate")
        ]
        numbers.append(f"{100 * row['host_itself']['attack_success_rate']['value']:.2f}")
        cells = [row["host"], row["attack"], row["part"], row["operands"], row["verdict"]]
        cells += [row["scan"], ", ".join(map(str, row["labels"]))]
        cells += ["" if row["true_target"] is None else row["true_target"]]
        lines.append("| " + " | ".join(map(str, (*cells, *numbers, row["seconds"]))) + " |")
    yield "\n".join(lines)


def _alarms(name: str, rows: list[Mapping[str, Any]]) -> str:
    found = [row for row in rows if row["operands"]]
    named = ", ".join(str(row.get("network") or row.get("model")) for row in found)
    seconds = max(row["seconds"] for row in rows)
    kind = "trained networks" if name == "networks" else "models of the matrix (random weights)"
    said = f"Of {len(rows)} {kind} without such logic {len(found)} have constant operands"
    return f"{said}{f' ({named})' if named else ''}; {seconds:.1f} s at most."


if __name__ == "__main__":
    typer.run(main)
