import numpy as np
import torch
from support.sleeping import SleepingBackdoor, clean_images

from hardener.data.preprocessing import Preprocessing
from hardener.repairing.renewed_search import Search
from hardener.scanning.optimiser import InversionSettings
from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.families import FAMILIES
from hardener.triggers.patch import Trigger
from hardener.triggers.warp import Warp

CPU = torch.device("cpu")
BRIEF = InversionSettings(steps=3)


def test_a_search_gives_every_kind_and_the_squares_that_reach_a_label() -> None:
    network = SleepingBackdoor()
    search = Search(
        clean_images(),
        Preprocessing((16, 16), (0.0,) * 3, (1.0,) * 3),
        (2, 3),
        CPU,
        dict.fromkeys(FAMILIES, BRIEF),
    )
    told: list[int] = []
    found = search.triggers(network, 0, told.append)
    kinds = (Trigger, Trigger, AdditiveTrigger, AdditiveTrigger, Warp, Warp)
    assert [type(trigger) for trigger in found[:6]] == list(kinds)
    assert [trigger.label for trigger in found[:6]] == [2, 3] * 3
    squares = found[6:]
    assert len(squares) == 2
    for square in squares:
        assert isinstance(square, Trigger)
        assert square.label == 2
        assert np.isin(square.mask, (0, 1)).all()
    assert 0 < sum(told) <= search.steps
