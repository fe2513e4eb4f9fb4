import hashlib
import io
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from hardener.errors import InconclusiveError
from hardener.scanning.unfinished import (
    Arrays,
    Unfinished,
    cache_folder,
    code_digest,
    unfinished,
)

FORMS = [(2, 3), (2,)]


class _Maker:
    def __init__(self, value: float = 1.0) -> None:
        self.calls, self.value = 0, value

    def __call__(self) -> Arrays:
        self.calls += 1
        return np.full((2, 3), self.value, np.float32), np.zeros(2, np.float32)


def _kept(folder: Path, key: str = "k") -> Unfinished:
    return Unfinished(folder, key).of("patch", steps=3)


def _only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_a_piece_comes_back_as_it_was(tmp_path: Path) -> None:
    maker = _Maker(0.1)
    made, earlier = _kept(tmp_path).piece([1, 2], FORMS, maker)
    again, from_earlier = _kept(tmp_path).piece([1, 2], FORMS, maker)
    assert (earlier, from_earlier, maker.calls) == (False, True, 1)
    for one, other in zip(made, again, strict=True):
        assert one.tobytes() == other.tobytes()


def test_what_depends_on_something_else_is_another_piece(tmp_path: Path) -> None:
    maker = _Maker()
    _kept(tmp_path).piece([1, 2], FORMS, maker)
    _kept(tmp_path).piece([1, 3], FORMS, maker)
    _kept(tmp_path, "other").piece([1, 2], FORMS, maker)
    Unfinished(tmp_path, "k").of("warp", steps=3).piece([1, 2], FORMS, maker)
    Unfinished(tmp_path, "k").of("patch", steps=4).piece([1, 2], FORMS, maker)
    assert maker.calls == 5


def _damaged(content: bytes) -> list[bytes]:
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    return [b"", content[:20], content[:-1], bytes(flipped), content + b"\0"]


def test_a_damaged_piece_is_made_anew(tmp_path: Path) -> None:
    made, _ = _kept(tmp_path).piece([1, 2], FORMS, _Maker())
    path = _only(tmp_path)
    whole = path.read_bytes()
    for damaged in _damaged(whole):
        path.write_bytes(damaged)
        maker = _Maker()
        found, from_earlier = _kept(tmp_path).piece([1, 2], FORMS, maker)
        assert (from_earlier, maker.calls) == (False, 1)
        np.testing.assert_array_equal(found[0], made[0])
        assert path.read_bytes() == whole


def test_a_piece_of_another_name_does_not_pass(tmp_path: Path) -> None:
    _kept(tmp_path).piece([1, 2], FORMS, _Maker())
    content = _only(tmp_path).read_bytes()
    _only(tmp_path).unlink()
    _kept(tmp_path).piece([1, 3], FORMS, _Maker())
    _only(tmp_path).write_bytes(content)
    assert not _kept(tmp_path).piece([1, 3], FORMS, _Maker())[1]


@pytest.mark.parametrize(
    "arrays",
    [
        [np.zeros((2, 3), np.float32)],
        [np.zeros((2, 4), np.float32), np.zeros(2, np.float32)],
        [np.zeros((2, 3)), np.zeros(2, np.float32)],
        [np.full((2, 3), np.nan, np.float32), np.zeros(2, np.float32)],
        [np.full((2, 3), None), np.zeros(2, np.float32)],
    ],
    ids=["too few", "another shape", "another type", "not finite", "a pickle"],
)
def test_a_signed_piece_of_another_form_is_made_anew(
    tmp_path: Path, arrays: list[np.ndarray]
) -> None:
    from hardener.scanning.unfinished import _signed  # noqa: PLC0415

    _kept(tmp_path).piece([1, 2], FORMS, _Maker())
    path, stream = _only(tmp_path), io.BytesIO()
    np.savez(stream, *arrays)
    path.write_bytes(_signed(path.stem, stream.getvalue()))
    assert not _kept(tmp_path).piece([1, 2], FORMS, _Maker())[1]


def test_without_a_place_to_keep_it_the_scan_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    maker = _Maker()
    assert not _kept(tmp_path / "file" / "below").piece([1, 2], FORMS, maker)[1]
    assert maker.calls == 1


def test_pieces_go_when_the_scan_is_done_or_fails_and_stay_when_it_is_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "hardener" / "scans"

    def scan(error: BaseException | None) -> None:
        with unfinished({"seed": 0}) as kept:
            kept.of("patch").piece([1, 2], FORMS, _Maker())
            if error:
                raise error
        kept.remove()

    with pytest.raises(KeyboardInterrupt):
        scan(KeyboardInterrupt())
    assert list(cache_folder().glob("*/*.piece"))
    with pytest.raises(InconclusiveError):
        scan(InconclusiveError("nothing can be said"))
    assert not list(cache_folder().iterdir())
    scan(None)
    assert not list(cache_folder().iterdir())


def test_a_relative_cache_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert cache_folder() == Path("~/.cache/hardener/scans").expanduser()


def test_what_nobody_went_on_with_for_a_month_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for key in ("old", "recent"):
        with unfinished({"scan": key}) as kept:
            kept.piece([1], FORMS, _Maker())
    old, recent = sorted(cache_folder().iterdir(), key=lambda path: path.stat().st_mtime_ns)
    month = old.stat().st_mtime - 31 * 24 * 3600
    os.utime(old, (month, month))
    with unfinished({"scan": "another"}) as kept:
        kept.piece([1], FORMS, _Maker())
    assert not old.exists()
    assert recent.exists()


def test_a_digest_of_code_is_of_every_module(tmp_path: Path) -> None:
    assert code_digest() == code_digest()
    (tmp_path / "room").mkdir()
    (tmp_path / "one.py").write_text("1")
    digests = [code_digest(tmp_path)]
    (tmp_path / "room" / "two.py").write_text("2")
    digests.append(code_digest(tmp_path))
    (tmp_path / "one.py").write_text("3")
    digests.append(code_digest(tmp_path))
    assert len({code_digest(), *digests}) == 4


def test_a_piece_that_unpacks_to_more_than_it_should_is_not_unpacked(tmp_path: Path) -> None:
    kept, maker = _kept(tmp_path), _Maker()
    kept.piece([1], FORMS, maker)
    path = _only(tmp_path)
    bomb = io.BytesIO()
    np.savez_compressed(bomb, np.zeros((1 << 26,), np.float32), np.zeros(2, np.float32))
    path.write_bytes(
        hashlib.sha256(path.stem.encode() + bomb.getvalue()).digest() + bomb.getvalue()
    )
    tracemalloc.start()
    try:
        kept.piece([1], FORMS, maker)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert maker.calls == 2
    assert most < 1 << 26


def test_a_link_in_place_of_a_scans_folder_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with unfinished({"scan": "one"}) as kept:
        assert kept.folder is not None
        outside = tmp_path / "outside"
        outside.mkdir()
        kept.folder.parent.mkdir(parents=True)
        kept.folder.symlink_to(outside)
    with unfinished({"scan": "one"}) as kept:
        kept.piece([1], FORMS, _Maker())
        kept.remove()
    assert not list(outside.iterdir())
