"""Export of real checkpoints of a two-layer network."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from hardener.errors import DataError, HardenError, ModelError, UsageError
from hardener.model.exporting import export
from hardener.model.files import load_model
from hardener.model.runtime import Machine, open_runner

NETWORK = """
import torch
from torch import nn

class Net(nn.Module):
    input_size = (3, 8, 8)
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)

    def __init__(self, width=4):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width))
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        return self.head(torch.relu(self.features(x)).mean((2, 3)))

class Viewing(Net):
    def __init__(self):
        super().__init__()
        self.wide = nn.Linear(4 * 64, 5)

    def forward(self, x):
        print("a network that talks")
        return self.wide(self.features(x).view(x.size(0), -1))

class Plain(Net):
    input_size = mean = std = None

class Drifting(Net):
    def forward(self, x):
        drift = 1 if torch.compiler.is_compiling() or torch.jit.is_tracing() else 0
        return super().forward(x) + drift

NUMBER = 7
"""


@pytest.fixture
def arch(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NETWORK)
    return f"{tmp_path / 'net.py'}:Net"


@pytest.fixture
def weights(tmp_path: Path, arch: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "features.0.weight": torch.randn(4, 3, 3, 3),
        "features.0.bias": torch.randn(4),
        "features.1.weight": torch.rand(4) + 0.5,
        "features.1.bias": torch.randn(4),
        "features.1.running_mean": torch.randn(4),
        "features.1.running_var": torch.rand(4) + 0.5,
        "features.1.num_batches_tracked": torch.tensor(1),
        "head.weight": torch.randn(5, 4),
        "head.bias": torch.randn(5),
    }


def test_safetensors_become_onnx_with_everything_a_scan_needs(
    tmp_path: Path, arch: str, weights: dict[str, torch.Tensor]
) -> None:
    save_file(weights, tmp_path / "w.safetensors")
    output = tmp_path / "m.onnx"
    names = ["a", "b", "c", "d", "é"]
    result = export(tmp_path / "w.safetensors", arch, output, class_names=names)
    assert result.largest_difference <= 1e-4
    model = load_model(output)
    assert model.sha256 == result.model.sha256
    assert model.class_names == tuple(names)
    assert model.preprocessing_fields["mean"] == (0.5, 0.5, 0.5)
    assert model.preprocessing_fields["size"] == (8, 8)
    for batch in (1, 7):
        x = np.zeros((batch, 3, 8, 8), np.float32)
        assert open_runner(model.proto, Machine()).run({"images": x})[0].shape == (batch, 5)
    assert str(tmp_path) not in output.read_bytes().decode("latin-1"), "a path of this machine"


def test_nested_and_prefixed_pt_files_are_read(
    tmp_path: Path, arch: str, weights: dict[str, torch.Tensor]
) -> None:
    prefixed = {f"module.{name}": value for name, value in weights.items()}
    torch.save({"state_dict": prefixed, "epoch": 3}, tmp_path / "w.pt")
    export(tmp_path / "w.pt", arch, tmp_path / "m.onnx", opset=18)
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == 18


def test_a_network_that_views_and_prints_is_exported(
    tmp_path: Path,
    arch: str,
    weights: dict[str, torch.Tensor],
    capsys: pytest.CaptureFixture[str],
) -> None:
    wide = {"wide.weight": 0.1 * torch.randn(5, 256), "wide.bias": torch.randn(5)}
    save_file(weights | wide, tmp_path / "w.safetensors")
    output = tmp_path / "m.onnx"
    result = export(tmp_path / "w.safetensors", arch.replace(":Net", ":Viewing"), output)
    assert result.largest_difference <= 1e-4
    assert capsys.readouterr().out == ""


def test_a_checkpoint_is_not_overwritten(
    tmp_path: Path, arch: str, weights: dict[str, torch.Tensor]
) -> None:
    save_file(weights, tmp_path / "w.onnx")
    with pytest.raises(UsageError, match="is an input itself"):
        export(tmp_path / "w.onnx", arch, tmp_path / "w.onnx")


class _Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("code-ran"),))


def test_a_checkpoint_with_code_in_it_is_not_opened(
    tmp_path: Path, arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": _Payload()}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="holds more than weights"):
        export(tmp_path / "w.pt", arch, tmp_path / "m.onnx")
    assert not (tmp_path / "code-ran").exists()


def test_a_network_that_exports_differently_is_not_written(
    tmp_path: Path, arch: str, weights: dict[str, torch.Tensor]
) -> None:
    save_file(weights, tmp_path / "w.safetensors")
    drifting = arch.replace(":Net", ":Drifting")
    with pytest.raises(ModelError, match=r"differ from PyTorch's by 1,"):
        export(tmp_path / "w.safetensors", drifting, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_arguments_reach_the_class(
    tmp_path: Path, arch: str, weights: dict[str, torch.Tensor]
) -> None:
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"does not fit the architecture.*features"):
        export(tmp_path / "w.safetensors", arch, tmp_path / "m.onnx", arch_arguments={"width": 6})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net.py:Missing", "has no Missing"),
        ("net.py:NUMBER", "cannot be built"),
        ("nowhere.module:Net", "cannot import nowhere.module"),
        ("nowhere.py:Net", "cannot import"),
        ("nonsense", "MODULE:CLASS"),
        ("net.py:Plain", "give --input-size"),
    ],
)
def test_architectures_that_cannot_be_had(
    tmp_path: Path, arch: str, weights: dict[str, torch.Tensor], name: str, message: str
) -> None:
    save_file(weights, tmp_path / "w.safetensors")
    path = str(tmp_path / name) if ".py:" in name else name
    with pytest.raises(UsageError, match=message):
        export(tmp_path / "w.safetensors", path, tmp_path / "m.onnx")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "missing.pt"])
def test_files_that_are_no_checkpoint(tmp_path: Path, arch: str, name: str) -> None:
    if not name.startswith("missing"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match=name):
        export(tmp_path / name, arch, tmp_path / "m.onnx")


def test_wrong_numbers_of_class_names_or_statistics(
    tmp_path: Path, arch: str, weights: dict[str, torch.Tensor]
) -> None:
    save_file(weights, tmp_path / "w.safetensors")
    checkpoint, output = tmp_path / "w.safetensors", tmp_path / "m.onnx"
    with pytest.raises(DataError, match="2 class names for 5 classes"):
        export(checkpoint, arch, output, class_names=["a", "b"])
    with pytest.raises(HardenError, match="mean and std need 1 or 3 values"):
        export(checkpoint, arch, output, mean=[0.1, 0.2], std=[1.0])


def test_without_statistics_none_are_written(
    tmp_path: Path, arch: str, weights: dict[str, torch.Tensor]
) -> None:
    save_file(weights, tmp_path / "w.safetensors")
    plain = arch.replace(":Net", ":Plain")
    export(tmp_path / "w.safetensors", plain, tmp_path / "m.onnx", input_size=(3, 8, 8))
    assert load_model(tmp_path / "m.onnx").preprocessing_fields == {}
