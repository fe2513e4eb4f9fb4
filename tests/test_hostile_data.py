"""Pictures, archives, tables and checkpoints from strangers: one error, in bounded memory."""

import io
import os
import pickle
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, saved
from torch import nn

from hardener.cli import run
from hardener.cli.parsers import keyword_argument
from hardener.data.images import open_images
from hardener.data.preprocessing import preprocessing_fields
from hardener.errors import DataError, ModelError, UsageError
from hardener.model.checkpoints import load_weights
from hardener.policy import read_policy
from hardener.triggers.patch import load_trigger


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """Fails where the highest memory use grew by more than 700 MiB."""
    resource = pytest.importorskip("resource")
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    yield
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    assert after - before < 700 << 20


class Code:
    """Unpickling this makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def _refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        list(open_images(path).batches(size=(8, 8), channels=3, batch_size=4))
    return str(caught.value)


def _picture(form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, format=form)
    return buffer.getvalue()


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def _png_bomb(side: int) -> bytes:
    """A picture of side² pixels in a thousandth of the bytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    packer = zlib.compressobj()
    rows = b"".join(packer.compress(bytes(1 + 3 * side)) for _ in range(min(side, 2000)))
    pixels = rows + packer.flush()
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


PICTURES: dict[str, tuple[Callable[[], bytes], str]] = {
    "bomb": (lambda: _png_bomb(30_000), "64 million allowed|DecompressionBomb"),
    "bomb within Pillow's limit": (lambda: _png_bomb(9_000), "64 million allowed"),
    "truncated png": (lambda: _picture()[:50], "OSError|SyntaxError"),
    "truncated jpeg": (lambda: _picture("JPEG")[:300], "OSError|known format"),
    "empty": (bytes, "known format"),
    "text": (lambda: b"<svg/>", "known format"),
    "program": (lambda: b"MZ" + bytes(100), "known format"),
    "icon that calls itself png": (lambda: _picture("ICO"), "known format"),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("packed", [False, True])
def test_bad_pictures_are_named(name: str, packed: bool, tmp_path: Path) -> None:
    make, message = PICTURES[name]
    path = tmp_path / ("d.zip" if packed else "d")
    if packed:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("0/a.png", make())
    else:
        (path / "0").mkdir(parents=True)
        (path / "0" / "a.png").write_bytes(make())
    said = _refusal(path)
    assert "0/a.png" in said
    assert any(part in said for part in message.split("|")), said


def test_a_picture_with_another_formats_name_is_read_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "a.png").write_bytes(_picture("JPEG"))
    (batch,) = open_images(tmp_path).batches(size=(8, 8), channels=3, batch_size=4)
    assert batch.images.shape == (1, 3, 8, 8)


def test_a_zip_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0/a.png", bytes(200 << 20))
    assert "over 64 MiB unpacked" in _refusal(tmp_path / "d.zip")


@pytest.mark.parametrize("name", ["../0/a.png", "/0/a.png", "0/../../a.png", "C:\\0\\a.png"])
def test_nothing_is_unpacked_to_where_a_zip_says(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "side"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "d.zip", "w") as archive:
        archive.writestr(name, _picture())
    try:
        list(open_images(folder / "d.zip").batches(size=(8, 8), channels=3, batch_size=1))
    except DataError as error:
        assert "class folder" in str(error)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [folder / "d.zip"]


def test_a_zip_with_two_members_of_one_name_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("0/a.png", _picture())
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("0/a.png", b"other")
    assert "members of the same name" in _refusal(tmp_path / "d.zip")


def test_a_zip_with_a_member_of_no_name_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("0/a.png", _picture())
        archive.writestr("x", _picture())
    content = (tmp_path / "d.zip").read_bytes().replace(b"x", b"\0")
    (tmp_path / "d.zip").write_bytes(content)
    assert "or of none" in _refusal(tmp_path / "d.zip")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../secret/a.png,0", "lies outside"),
        ("/etc/passwd,0", "lies outside"),
        ("link.png,0", "lies outside"),
        ("in.png\0,0", "lies outside"),
        ("in.png,0\nin.png,0", "named twice"),
        ("in.png,99999999999", "neither a number nor"),
        ("in.png,-1", "neither a number nor"),
        ('"in.png,0', "a row is path,label"),
        ("in.png", "a row is path,label"),
        ("a" * 200_000 + ",0", "cannot be read|unreadable"),
    ],
)
def test_tables_that_climb_or_lie_are_refused(row: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.png").write_bytes(_picture())
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "in.png").write_bytes(_picture())
    (folder / "link.png").symlink_to(tmp_path / "secret" / "a.png")
    (folder / "d.csv").write_text(row)
    said = _refusal(folder / "d.csv")
    assert any(part in said for part in message.split("|")), said


def _npz(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def _npy(shape: tuple[int, ...], kind: str, content: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + content


def test_pickled_objects_in_an_npz_are_not_opened(tmp_path: Path) -> None:
    made = tmp_path / "made"
    content = _npy((1,), "|O", pickle.dumps(np.array([Code(made)], object)))
    whole = _npy((1, 4, 4, 3), "|u1", bytes(48))
    assert "objects" in _refusal(_npz(tmp_path / "d.npz", images=content, labels=content))
    assert "objects" in _refusal(_npz(tmp_path / "e.npz", images=whole, labels=content))
    with pytest.raises(DataError, match="is not a trigger"):
        load_trigger(_npz(tmp_path / "t.npz", mask=content, pattern=content, label=content))
    assert not made.exists()


def test_an_npz_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    many = 200_000_000
    images = _npy((many, 1, 1, 1), "|u1", bytes(many))
    path = _npz(tmp_path / "d.npz", images=images, labels=_npy((many,), "<i8"))
    del images
    assert path.stat().st_size < 1 << 20
    said = _refusal(path)
    assert "allowed" in said or "shorter than its header" in said
    bomb = _npy((1, 20_000, 20_000), "<f4", bytes(300 << 20))
    with pytest.raises(DataError, match=r"too large|trigger"):
        load_trigger(_npz(tmp_path / "t.npz", mask=bomb, pattern=bomb[:100], label=bomb[:100]))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.bin", "w.safetensors"])
@pytest.mark.parametrize("form", ["torch", "pickle", "old torch", "nested"])
def test_code_in_a_checkpoint_does_not_run(name: str, form: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    path = tmp_path / name
    state: dict[str, object] = {"0.weight": torch.zeros(2, 2), "x": Code(made)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(state))
    else:
        whole = {"state_dict": state} if form == "nested" else state
        torch.save(whole, path, _use_new_zipfile_serialization=form != "old torch")
    with pytest.raises(ModelError, match=r"holds more than weights|is no checkpoint"):
        load_weights(nn.Sequential(nn.Linear(2, 2)), path)
    assert not made.exists()


def test_a_checkpoint_that_claims_huge_weights_is_refused(tmp_path: Path) -> None:
    header = b'{"0.weight":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}'
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(ModelError, match="is no checkpoint"):
        load_weights(nn.Linear(2, 2), tmp_path / "w.safetensors")
    (tmp_path / "v.safetensors").write_bytes(struct.pack("<Q", 2**60) + header)
    with pytest.raises(ModelError, match="is no checkpoint"):
        load_weights(nn.Linear(2, 2), tmp_path / "v.safetensors")


def test_texts_without_end_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(UsageError, match="is no TOML"):
        read_policy(tmp_path / "p.toml")
    with (tmp_path / "q.toml").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(UsageError, match="over 1 MiB"):
        read_policy(tmp_path / "q.toml")
    assert keyword_argument("a=" + "[" * 100_000) == ("a", "[" * 100_000)
    for value in (10**400, float("nan"), float("inf")):
        with pytest.raises(DataError, match=r"too large|not finite"):
            preprocessing_fields({"mean": [value]})


@pytest.mark.parametrize("name", ["d.csv", "d.npz", "t.npz", "w.pt", "m.onnx"])
def test_a_file_of_a_terabyte_is_not_read(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    if name == "m.onnx":
        assert run(["inspect", str(path)]) == 2
        assert "at most 2 GiB" in capsys.readouterr().err
    elif name == "w.pt":
        with pytest.raises(ModelError, match="over 4096 MiB"):
            load_weights(nn.Linear(2, 2), path)
    elif name == "t.npz":
        with pytest.raises(DataError, match="over 256 MiB"):
            load_trigger(path)
    else:
        assert "d." in _refusal(path)


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "w.pt", "--arch", "torch.nn:Flatten", "--input-size", "3,100000,100000"),
        ("scan", "m.onnx", "--data", "D", "--size", "4096"),
        ("scan", "m.onnx", "--data", "D", "--size", "99999999999999999999"),
        ("scan", "m.onnx", "--data", "D", "--size", "nan"),
    ],
)
def test_huge_images_are_refused_before_they_are_made(
    arguments: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({}, "w.pt")
    model = classifier(PLAIN.replace("float[N,3,8,8]", "float[N,3,H,W]"), dict(PLAIN_SHAPES))
    saved(model, tmp_path / "m.onnx")
    assert run([*arguments, "-o", "out.onnx"]) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert any(word in captured.err for word in ("2048", "whole number")), captured.err
    assert not Path("out.onnx").exists()


def test_an_npz_header_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("images.npy", "w") as stream:
            stream.write(b"\x93NUMPY\x02\0" + (64 << 20).to_bytes(4, "little"))
            stream.write(b" " * (64 << 20))
        archive.writestr("labels.npy", b"")
    with pytest.raises(DataError, match=r"its header is said to take 67108864 bytes$"):
        open_images(tmp_path / "d.npz")
