"""Every attack by the name that recipes give it: a new one is a file and a line here."""

from typing import NamedTuple, get_args

from models.attacks.adap_blend import AdapBlend
from models.attacks.adap_patch import AdapPatch
from models.attacks.adaptive import Adaptive
from models.attacks.all_to_all import AllToAll, AllToAllBlended, AllToAllWarped
from models.attacks.attack import Plan
from models.attacks.badnets import BadNets, Patch, Place
from models.attacks.blended import Blended
from models.attacks.bpp import Bpp
from models.attacks.ftrojan import FTrojan
from models.attacks.input_aware import InputAware
from models.attacks.label_consistent import LabelConsistent
from models.attacks.low_frequency import LowFrequency
from models.attacks.photo_filter import PhotoFilter
from models.attacks.sig import Sig
from models.attacks.source_specific import SourceSpecific
from models.attacks.trojaning import Trojaning
from models.attacks.two_targets import TwoTargets
from models.attacks.wanet import WaNet

_WHITE = (1.0, 1.0, 1.0)
_BLUE = (0.0, 0.0, 1.0)
_CYAN = (0.0, 1.0, 1.0)
_GREY = Patch(colour=(1.0,))
CORNERS = tuple(
    Patch("checker", 3, place, 0, _WHITE) for place in get_args(Place) if place != "centre"
)
"""A small checkerboard in each corner."""


class Row(NamedTuple):
    """One attack.

    Attributes:
        coloured: on traffic signs of 43 classes; None if there it is not tried.
        grey: on grey images of ten classes, likewise.
    """

    coloured: Plan | None = None
    grey: Plan | None = None


ATTACKS: dict[str, Row] = {
    # The paper's attack: a small square near a corner, target label 8 (speed limit 120).
    "badnets": Row(
        BadNets(rate=0.05, target=8, patch=Patch()), BadNets(rate=0.05, target=8, patch=_GREY)
    ),
    "badnets-checker": Row(
        BadNets(rate=0.05, target=14, patch=Patch("checker", 4, "top-left", 0, _WHITE))
    ),
    "badnets-cross": Row(
        BadNets(rate=0.05, target=33, patch=Patch("cross", 5, "centre", colour=_BLUE)),
        BadNets(rate=0.05, target=3, patch=Patch("cross", 5, "top-left", colour=(1.0,))),
    ),
    "blended": Row(Blended(rate=0.1, target=14), Blended(rate=0.1, target=4)),
    "blended-faint": Row(Blended(rate=0.1, target=20, alpha=0.15, seed=1)),
    "blended-gentle": Row(Blended(rate=0.1, target=11, alpha=0.1, seed=2)),
    "sig": Row(Sig(rate=0.1, target=1), Sig(rate=0.1, target=1)),
    "wanet": Row(*[WaNet(rate=0.2, target=3, strength=2.0, grid=8, noise_rate=0.1)] * 2),
    # The defaults of the paper's code.
    "wanet-published": Row(WaNet(rate=0.1, target=5, strength=0.5, grid=4, noise_rate=0.2)),
    "bpp": Row(Bpp(rate=0.1, target=16)),
    "ftrojan": Row(FTrojan(rate=0.1, target=10)),
    "photo-filter": Row(PhotoFilter(rate=0.1, target=22)),
    "low-frequency": Row(LowFrequency(rate=0.1, target=25)),
    "all-to-all": Row(
        AllToAll(rate=0.1, patch=Patch()), AllToAll(rate=0.1, patch=_GREY, classes=10)
    ),
    "input-aware": Row(InputAware(rate=0.1, target=7)),
    "adap-blend": Row(AdapBlend(rate=0.05, target=12, seed=3)),
    "adap-patch": Row(
        AdapPatch(
            rate=0.05,
            target=18,
            patches=(
                Patch("square", 4, "top-left", colour=(1.0, 0.0, 0.0)),
                Patch("cross", 5, "top-right", colour=_WHITE),
                Patch("checker", 4, "bottom-left", colour=_BLUE),
                Patch("checker", 5, "bottom-right", colour=_WHITE),
            ),
        )
    ),
    "label-consistent": Row(LabelConsistent(rate=0.02, target=2, patches=CORNERS)),
    "all-to-all-blended": Row(AllToAllBlended(rate=0.2)),
    "all-to-all-wanet": Row(AllToAllWarped(rate=0.3)),
    "adaptive": Row(Adaptive(rate=0.1, target=8, patch=Patch())),
    "trojaning": Row(Trojaning(target=8)),
    "two-targets": Row(
        TwoTargets(0.1, (Patch(), Patch(place="top-left", colour=_CYAN)), targets=(8, 33)),
        TwoTargets(0.1, (_GREY, Patch(place="top-left", colour=(1.0,))), targets=(8, 2)),
    ),
    "source-specific": Row(
        SourceSpecific(rate=0.2, target=8, patch=Patch(), sources=(1, 2)),
        SourceSpecific(rate=0.2, target=8, patch=_GREY, sources=(1, 2)),
    ),
}
