"""What a scan says that it looks for: what its detectors name, and what nothing searches."""

from pathlib import Path

from benchmarks.detection import packaged
from hardener.scanning import looked_for as looked_for_module
from hardener.scanning.detectors.table import DETECTORS
from hardener.scanning.looked_for import detection_rates, looked_for

ALL = {kind for detector in DETECTORS.values() for kind in detector.looks_for}


def test_every_kind_that_a_detector_looks_for_is_listed() -> None:
    rows = looked_for(ALL)
    assert {row.attack for row in rows if row.looked_for} == ALL
    assert [row.attack for row in rows if not row.looked_for]


def test_what_could_not_run_was_not_looked_for() -> None:
    graph = {kind for kind in ALL if "graph" in kind}
    assert {row.attack for row in looked_for(graph) if row.looked_for} == graph


def test_the_packaged_rates_are_those_of_the_results() -> None:
    path = Path(looked_for_module.__file__).with_name("detection.json")
    assert path.read_text(encoding="utf-8") == packaged()


def test_rates_are_of_kinds_that_are_listed() -> None:
    rates = detection_rates()
    listed = {row.attack: row.found for row in looked_for(ALL)}
    assert rates
    for attack, rate in rates.items():
        assert listed[attack] == rate
        assert 0 <= rate.low <= rate.value <= rate.high <= 1
