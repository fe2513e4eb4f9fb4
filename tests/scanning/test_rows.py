"""From what searches found to evidence and rows, on twenty labels that compete."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.many_labels import IMAGES, PLAIN, TARGET, Planted

from hardener.documents.scan import LabelEvidence
from hardener.progress import silent
from hardener.scanning.calibration import Curve
from hardener.scanning.label_search import Found, Searches, find_triggers
from hardener.scanning.rows import evidence_of, label_rows
from hardener.scanning.screening import try_squares
from hardener.scanning.searches.table import SEARCHES as TABLE
from hardener.triggers.families import FAMILIES

LABELS = 20
SEARCHES = Searches({kind: replace(search.settings, steps=6) for kind, search in TABLE.items()}, 0)


@pytest.fixture(scope="module")
def found() -> Found:
    """What short searches find for twenty of the network's labels."""
    cpu = torch.device("cpu")
    looked = Planted(), IMAGES, PLAIN, range(LABELS)
    squares = try_squares(*looked, lambda _: None, cpu)
    return find_triggers(*looked, SEARCHES, squares, cpu, silent)


def test_patches_are_beside_all_labels_and_the_others_beside_those_drawn(found: Found) -> None:
    evidence = evidence_of(found, [np.ones(LABELS, np.float32)] * 3)
    assert [one.kind for one in evidence] == list(FAMILIES)
    assert evidence[0].reference is None
    for one in evidence[1:]:
        assert one.reference == found.chosen.reference
        assert len(one.reference or ()) == 8
    assert evidence[0].unsolved == ()
    assert evidence[1].unsolved == tuple(sorted(found.inverted["additive"].unsolved))


def test_a_row_says_of_each_kind_how_its_search_went(found: Found) -> None:
    evidence = evidence_of(found, [np.full(LABELS, share, np.float32) for share in (1, 0.9, 0.8)])
    rows = label_rows(found, evidence, ["patch"] * LABELS)
    assert [row.label for row in rows] == list(range(LABELS))
    drawn = {label for label in range(LABELS) if label in (found.chosen.reference or ())}
    for row in rows:
        assert isinstance(row, LabelEvidence)
        assert (row.reference, row.stopped_early, row.nothing_found) == (True, False, False)
        assert row.trigger_success_rate == pytest.approx(1)
        for one, kind, share in (
            (row.additive, found.inverted["additive"], 0.9),
            (row.warp, found.inverted["warp"], 0.8),
        ):
            assert one.reference == (row.label in drawn)
            assert one.stopped_early == (row.label in kind.stopped)
            assert one.nothing_found == (row.label in kind.unsolved)
            assert one.trigger_success_rate == pytest.approx(share)
    searched = [row for row in rows if isinstance(row, LabelEvidence)]
    sizes = [row.mask_l1 for row in searched]
    assert int(np.argmin(sizes)) == TARGET
    assert sizes[3] == pytest.approx(found.inverted["patch"].triggers[3].mask_l1)
    assert searched[3].relative_size == pytest.approx(sizes[3] / np.median(sizes), rel=1e-5)


def test_what_nothing_was_found_for_counts_for_nothing(found: Found) -> None:
    additive = evidence_of(found, [np.ones(LABELS, np.float32)] * 3)[1]
    assert additive.unsolved
    tiny = additive.sizes.copy()
    tiny[list(additive.unsolved)] = 0.01

    curve = Curve(even=0.3, slope=5)
    assert not replace(additive, sizes=tiny).scores_by(curve)[list(additive.unsolved)].any()
    assert replace(additive, sizes=tiny, unsolved=()).scores_by(curve).any()
