"""A scan of twelve labels, and what a new search of one of them says."""

import numpy as np
import pytest
from support.scans import scan_of

from hardener.documents.scan import ScanResult
from hardener.measuring.quality import Counts
from hardener.scanning.calibration import shipped
from hardener.scanning.rescoring import suspicion_again
from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.family import SyntheticTrigger
from hardener.triggers.patch import Trigger
from hardener.triggers.warp import Warp

WORKS, FAILS = Counts(100, 0, 80, 78, 0), Counts(100, 0, 80, 20, 0)


def _faint(norm: float, label: int = 0) -> AdditiveTrigger:
    perturbation = np.zeros((3, 4, 4), np.float32)
    perturbation[0, 0, 0] = norm
    return AdditiveTrigger(perturbation, label)


@pytest.fixture(scope="module")
def scan() -> ScanResult:
    mask = np.zeros((1, 4, 4), np.float32)
    patches = [Trigger(mask, np.ones((3, 4, 4), np.float32), label) for label in range(12)]
    warps = [Warp(np.zeros((2, 2, 2), np.float32), label) for label in range(12)]
    return scan_of([*patches, *(_faint(1, label) for label in range(12)), *warps], 0)


def test_a_small_trigger_that_works_is_as_suspicious_as_in_a_scan(scan: ScanResult) -> None:
    assert suspicion_again(scan, {_faint(0.1): WORKS}) >= shipped().backdoored_from
    assert suspicion_again(scan, {_faint(0.1): FAILS}) == 0
    assert suspicion_again(scan, {_faint(0.9): WORKS}) < shipped().clean_below
    assert suspicion_again(scan, {}) == 0


def test_the_smallest_that_works_speaks_for_its_label(scan: ScanResult) -> None:
    several: dict[SyntheticTrigger, Counts] = {
        _faint(0.05): FAILS,
        _faint(0.9): WORKS,
        _faint(0.12): WORKS,
    }
    assert suspicion_again(scan, several) == suspicion_again(scan, {_faint(0.12): WORKS})


def test_a_label_that_the_scan_did_not_search_is_left_out(scan: ScanResult) -> None:
    assert suspicion_again(scan, {_faint(0.1, label=40): WORKS}) == 0
