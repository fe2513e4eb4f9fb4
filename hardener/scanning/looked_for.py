"""What a scan looks for and what it does not, with what is known of how often it finds it.

`detection.json` beside this file has the rates, of networks and constructions that were held back
for reports; the script `benchmarks/detection.py` of the repository writes it.
"""

from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files

from pydantic import TypeAdapter

from hardener.documents.rates import Rate
from hardener.documents.scan import LookedFor

PATCHES = "small patches that send all images to one label or a few"
FAINT = "faint patterns over the whole image"
WARPS = "smooth warps of the whole image"
EXCHANGES = "a small square, faint pattern or smooth warp that sends every label to another"
WRITTEN = "logic written into the graph"

COLOURS = "changes of colour, tone or levels"
SOME_CLASSES = "triggers that work on images of some classes alone"

_NO_SEARCH_OF_THEIR_OWN = (
    COLOURS,
    SOME_CLASSES,
    "other exchanges of all labels",
    "large patches, objects and styles",
    "several triggers that must meet",
)


def looked_for(searched: Collection[str]) -> tuple[LookedFor, ...]:
    """Every kind of attack that this version knows of.

    Args:
        searched: those that a scan looked for.
    """
    rates = detection_rates()
    known = (PATCHES, FAINT, WARPS, EXCHANGES, WRITTEN, *_NO_SEARCH_OF_THEIR_OWN)
    return tuple(
        LookedFor(attack=attack, looked_for=attack in searched, found=rates.get(attack))
        for attack in known
    )


@cache
def detection_rates() -> Mapping[str, Rate]:
    """Of kinds of attack how many networks were called backdoored, where that was measured."""
    text = files("hardener.scanning").joinpath("detection.json").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, Rate]).validate_json(text)
