"""What a batch that the exporter fixed at 1 costs a scan and a repair, beside a dynamic one.

The bundled backdoored AlexNet of the rendered signs as torch exports it in both ways. Both get
the same images and seeds, in turns.
"""

import tempfile
from pathlib import Path
from typing import Annotated

import torch
import typer
from safetensors.torch import load_file

import hardener
from benchmarks.interleaving import circumstances, interleaved, shown
from benchmarks.setting import WEIGHTS, machine, write_results
from hardener.data.signs import write_signs
from hardener.model.classifier import Overrides
from models.alexnet import AlexNetSmall

_VICTIM = "alexnet-signs-badnets"
_SIGNS_PER_CLASS = 40


def main(rounds: Annotated[int, typer.Option(help="Of both, in turns.")] = 2) -> None:
    """Measures and writes benchmarks/results/fixed_batch."""
    network = AlexNetSmall()
    network.load_state_dict(load_file(WEIGHTS / f"{_VICTIM}.safetensors"))
    network.eval()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_signs(work / "signs.npz", _SIGNS_PER_CLASS, seed=1)
        for name, axes in (("fixed", None), ("dynamic", {"images": {0: "N"}, "logits": {0: "N"}})):
            torch.onnx.export(
                network,
                (torch.zeros(1, *AlexNetSmall.input_size),),
                work / f"{name}.onnx",
                input_names=["images"],
                output_names=["logits"],
                dynamic_axes=axes,
                dynamo=False,
            )
        how: Overrides = ({"mean": AlexNetSmall.mean, "std": AlexNetSmall.std},)

        def harden(name: str, round_: int) -> None:
            model, data = work / f"{name}.onnx", work / "signs.npz"
            scan, output = work / f"{name}-{round_}", work / f"{name}-{round_}.onnx"
            hardener.scan(model, data, scan, preprocessing=how, provider="cpu")
            hardener.repair(model, scan, data, output, provider="cpu")

        times = interleaved(
            lambda round_: harden("fixed", round_), lambda round_: harden("dynamic", round_), rounds
        )
    lines = [
        f"Scan and repair of `{_VICTIM}` on {43 * _SIGNS_PER_CLASS:,} rendered signs, "
        f"{machine()['cores']} cores ({machine()['processor']}), {rounds} interleaved rounds. "
        f"{circumstances(times)}",
        "",
        "| batch | seconds, each round |",
        "| --- | --- |",
        *(
            f"| {name} | {', '.join(f'{seconds:.0f}' for seconds in row)} |"
            for name, row in zip(("fixed at 1", "dynamic"), times.wall, strict=True)
        ),
        "",
        f"Time at a fixed batch against a dynamic one: {shown(times.wall_ratio)}. The target is at "
        "most 2.",
    ]
    document = {"machine": machine(), "victim": _VICTIM, **times.document()}
    write_results("fixed_batch", document, "\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
