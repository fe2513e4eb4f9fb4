"""Mutations that know nothing of a file's format."""

from collections.abc import Callable

from numpy.random import Generator

Mutation = Callable[[Generator, bytearray], None]

_NUMBERS = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\x00\x00\x00\x80")
_VARINTS = (b"\x80\x80\x80\x80\x80\x20", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")


def mutate_bytes(rng: Generator, content: bytes) -> tuple[str, bytes]:
    """Applies one to three mutations of one kind.

    Returns:
        The kind's name and the changed content.
    """
    kinds = list(BYTE_MUTATIONS)
    kind = kinds[int(rng.integers(len(kinds)))]
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        if changed:
            BYTE_MUTATIONS[kind](rng, changed)
    return kind, bytes(changed)


def _place(rng: Generator, content: bytearray) -> int:
    """A position, near one of the ends in half of all cases, where headers and tables lie."""
    length = len(content)
    reach = min(length, 512) if rng.random() < 0.5 else length
    offset = int(rng.integers(reach))
    return offset if rng.random() < 0.5 else length - 1 - offset


def _flip(rng: Generator, content: bytearray) -> None:
    for _ in range(int(rng.integers(1, 9))):
        content[_place(rng, content)] ^= 1 << int(rng.integers(8))


def _truncate(rng: Generator, content: bytearray) -> None:
    del content[_place(rng, content) :]


def _delete(rng: Generator, content: bytearray) -> None:
    start = _place(rng, content)
    del content[start : start + int(rng.integers(1, 65))]


def _overwrite(rng: Generator, content: bytearray) -> None:
    start = _place(rng, content)
    numbers = _NUMBERS + _VARINTS
    number = numbers[int(rng.integers(len(numbers)))]
    content[start : start + len(number)] = number


def _insert(rng: Generator, content: bytearray) -> None:
    start = _place(rng, content)
    content[start:start] = rng.bytes(int(rng.integers(1, 65)))


def _repeat(rng: Generator, content: bytearray) -> None:
    start = _place(rng, content)
    piece = bytes(content[start : start + int(rng.integers(1, 257))])
    content[start:start] = piece * int(rng.integers(1, 65))


def _swap(rng: Generator, content: bytearray) -> None:
    first, second = _place(rng, content), _place(rng, content)
    length = int(rng.integers(1, 33))
    piece = bytes(content[first : first + length])
    content[second : second + len(piece)] = piece


BYTE_MUTATIONS: dict[str, Mutation] = {
    "bits flipped": _flip,
    "truncated": _truncate,
    "bytes deleted": _delete,
    "numbers overwritten": _overwrite,
    "noise inserted": _insert,
    "pieces repeated": _repeat,
    "pieces copied": _swap,
}
