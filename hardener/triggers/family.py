"""What is known of a family of triggers: one record, which everybody else reads."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from hardener.arrays import FloatArray
from hardener.errors import DataError
from hardener.triggers.arrays_on_disk import arrays_of, npz_of, png_of

TriggerKind: TypeAlias = str
"""Name of a family, one of those in the table; documents check it."""


class SyntheticTrigger(Protocol):
    """A trigger that a search found."""

    @property
    def label(self) -> int:
        """The target label."""

    @property
    def size(self) -> float:
        """What the search makes small, in the family's unit."""

    def stamp(self, images: FloatArray) -> FloatArray:
        """Puts the trigger on images (N, C, H, W) in [0, 1]; they stay as they are."""


AnyTrigger = TypeVar("AnyTrigger", bound=SyntheticTrigger)


@dataclass(frozen=True)
class Family(Generic[AnyTrigger]):
    """A family of triggers.

    Attributes:
        name: in documents and tables.
        trigger: its class, made from arrays and the label.
        arrays: names of those arrays, as attributes and in an `.npz`.
        file_stem: what the files of a scan's triggers begin with.
        size_field: where `scan.json` holds the size of a label's trigger.
        size_described: what that size is and in which unit.
        size_said: the size in a sentence, as a format.
        size_shown: the size in a table, as a format; in ASCII, which every terminal shows.
        noun: in sentences of a verdict.
        title: above a picture.
        colour: in figures.
        mark: in figures, in matplotlib's terms.
        reaches_most_labels: whether on a clean model too the search finds one for most labels.
        picture: planes (C, H, W) in [0, 1] that show a trigger.
        strengthened: twice as much of a trigger, of which a search finds the least.
        own_look: what shows an image (C, H, W) of a label in a trigger's place and a little around
            it; takes trigger, image and label. None where triggers have no place.
    """

    name: TriggerKind
    trigger: type[AnyTrigger]
    arrays: tuple[str, ...]
    file_stem: str
    size_field: str
    size_described: str
    size_said: str
    size_shown: str
    noun: str
    title: str
    colour: str
    mark: str
    reaches_most_labels: bool
    picture: Callable[[AnyTrigger], FloatArray]
    strengthened: Callable[[AnyTrigger], AnyTrigger]
    own_look: Callable[[AnyTrigger, FloatArray, int], AnyTrigger] | None = None

    def npz(self, trigger: AnyTrigger) -> bytes:
        """The trigger as the content of an `.npz`, the same bytes each time."""
        return npz_of({name: getattr(trigger, name) for name in self.arrays}, trigger.label)

    def from_npz(self, path: Path, content: bytes) -> AnyTrigger:
        """Reads a trigger from the content of the file that `path` names in messages.

        Raises:
            DataError: it is not such an `.npz`, or holds pickled objects.
        """
        values, label = arrays_of(path, content, self.arrays)
        made: Callable[..., Any] = self.trigger
        try:
            found: AnyTrigger = made(*values, label)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        return found

    def png(self, trigger: AnyTrigger) -> bytes:
        """A picture of the trigger as a PNG file."""
        return png_of(self.picture(trigger))
