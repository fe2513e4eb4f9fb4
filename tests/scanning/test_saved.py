import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.scans import scan_of

from hardener.cli.commands.scan import summary
from hardener.documents.identity import DataIdentity
from hardener.documents.rates import Rate
from hardener.documents.scan import (
    ChannelEvidence,
    ExchangeEvidence,
    LookedFor,
    ScreenedLabel,
    SquareEvidence,
)
from hardener.errors import DataError, InconclusiveError, UsageError
from hardener.scanning.found_exchanges import exchanges_labels
from hardener.scanning.saved import (
    SCAN_FILE,
    SavedScan,
    load_exchanging,
    load_of_kind,
    load_scan,
    load_synthetic_triggers,
    load_working_triggers,
    open_scan,
    require_target,
    save_scan,
    trigger_digest,
    trigger_path,
)
from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.families import family_of
from hardener.triggers.family import SyntheticTrigger
from hardener.triggers.patch import Trigger, load_trigger
from hardener.triggers.warp import Warp


def _triggers(value: float, labels: int = 3) -> list[SyntheticTrigger]:
    mask, values = np.full((1, 64, 64), 0.5, np.float32), np.full((3, 64, 64), value, np.float32)
    patches = [Trigger(mask, values, k) for k in range(labels)]
    faint = [AdditiveTrigger(values, k) for k in range(labels)]
    return [*patches, *faint, *(Warp(values[:2], k) for k in range(labels))]


def _save(folder: Path, value: float) -> None:
    triggers = _triggers(value)
    save_scan(folder, scan_of(triggers, round(4 * value)), triggers)


def _level(trigger: SyntheticTrigger) -> float:
    return float(getattr(trigger, family_of(trigger).arrays[-1]).max())


def _value(folder: Path) -> float:
    """The one value of a whole scan: its seed and every one of its triggers say it."""
    scanned = load_scan(folder)
    most = load_synthetic_triggers(SavedScan(folder, scanned), (0, 1, 2))
    assert [family_of(trigger).name for trigger in most] == ["patch", "additive", "warp"]
    working = load_working_triggers(SavedScan(folder, scanned), 0.5)
    assert [family_of(trigger).name for trigger in working] == ["patch", "additive"]
    (value,) = {_level(trigger) for trigger in (*most, *working)}
    assert scanned.seed == round(4 * value)
    return value


def test_a_scan_comes_back_and_leaves_nothing_staged(tmp_path: Path) -> None:
    for value in (0.25, 0.75, 0.75):
        _save(tmp_path, value)
        assert _value(tmp_path) == value
    names = sorted(path.name for path in (tmp_path / "triggers").iterdir())
    assert names == [
        f"{kind}-0{k}.{end}"
        for kind in ("additive", "label", "warp")
        for k in range(3)
        for end in ("npz", "png")
    ]
    assert load_trigger(trigger_path(tmp_path, 1)).pattern.max() == 0.75


def test_a_scan_killed_between_its_files_is_read_from_those_staged(tmp_path: Path) -> None:
    _save(tmp_path, 0.25)
    _save(tmp_path / "new", 0.75)
    for trigger in _triggers(0.75):
        new = trigger_path(tmp_path / "new", trigger.label, family_of(trigger).name)
        new.replace(tmp_path / "triggers" / f".staged-{trigger_digest(trigger)}.npz")
    assert _value(tmp_path) == 0.25
    (tmp_path / "new" / SCAN_FILE).replace(tmp_path / SCAN_FILE)
    assert _value(tmp_path) == 0.75


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "clean"},
        {"targets": ()},
        {"targets": (0, 0)},
        {"suspect": 1},
        {"accuracy": 1e308},
        {"score": -0.1},
        {"score": 0.5},
        {"verdict": "clean", "targets": (), "score": 0.5},
        {"data": DataIdentity(path="d.zip", sha256="0" * 64, count=-3)},
        *(
            {"channels": (ChannelEvidence(channel=c, linf_clean=v, linf_triggered=1, gap=0),)}
            for c, v in ((1, 1), (-1, 1), (0, -1), (0, 1e308))
        ),
    ],
)
def test_a_scan_that_contradicts_itself_is_refused(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    _save(tmp_path, 0.5)
    scanned = load_scan(tmp_path)
    scanned.model_copy(update=changes).write(tmp_path / SCAN_FILE)
    with pytest.raises(DataError, match="contradicts itself: scan again"):
        load_scan(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"mask_l1": -5},
        {"relative_size": -1},
        {"trigger_success_rate": 1e300},
        {"trigger_success_rate": -7},
    ],
)
def test_a_scan_with_numbers_that_cannot_be_is_refused(
    tmp_path: Path, changes: dict[str, float]
) -> None:
    _save(tmp_path, 0.5)
    scanned = load_scan(tmp_path)
    rows = (scanned.searched[0].model_copy(update=changes), *scanned.labels[1:])
    scanned.model_copy(update={"labels": rows}).write(tmp_path / SCAN_FILE)
    with pytest.raises(DataError):
        load_scan(tmp_path)


def test_a_trigger_that_is_neither_is_refused(tmp_path: Path) -> None:
    _save(tmp_path, 0.25)
    scanned = load_scan(tmp_path)
    _save(tmp_path, 0.75)
    with pytest.raises(DataError, match="not the trigger that the scan saved"):
        load_synthetic_triggers(SavedScan(tmp_path, scanned))
    with pytest.raises(DataError, match="has no trigger of label 7"):
        load_synthetic_triggers(SavedScan(tmp_path, scanned), (7,))


def test_a_trigger_of_another_label_than_its_row_is_refused(tmp_path: Path) -> None:
    _save(tmp_path, 0.25)
    scanned = load_scan(tmp_path)
    row, other = scanned.searched[:2]
    path = trigger_path(tmp_path, row.label, row.kind)
    path.write_bytes(trigger_path(tmp_path, other.label, row.kind).read_bytes())
    update = {"trigger_sha256": other.of_kind(row.kind).trigger_sha256}
    with pytest.raises(DataError, match=f"is a trigger of label {other.label}"):
        load_of_kind(tmp_path, row.model_copy(update=update), row.kind)


@pytest.mark.parametrize("seed", [-5, 10**30])
def test_a_seed_that_cannot_be_is_refused(tmp_path: Path, seed: int) -> None:
    _save(tmp_path, 0.25)
    document = json.loads((tmp_path / SCAN_FILE).read_text(encoding="utf-8"))
    (tmp_path / SCAN_FILE).write_text(json.dumps(document | {"seed": seed}), encoding="utf-8")
    with pytest.raises(DataError):
        load_scan(tmp_path)


def test_a_folder_that_cannot_be_written_keeps_the_old_scan(tmp_path: Path) -> None:
    _save(tmp_path, 0.25)
    (tmp_path / "triggers").rename(tmp_path / "kept")
    (tmp_path / "triggers").write_text("in the way")
    with pytest.raises(UsageError, match="cannot write"):
        _save(tmp_path, 0.75)
    (tmp_path / "triggers").unlink()
    (tmp_path / "kept").rename(tmp_path / "triggers")
    assert _value(tmp_path) == 0.25


KILLED = """
import json, os, sys
from pathlib import Path
from scanning.test_saved import _save, _value

folder = Path(sys.argv[1])

def dying_at(step):
    left = step

    def dying(method):
        def counted(*arguments, **keywords):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), 9)
            return method(*arguments, **keywords)
        return counted

    Path.replace, Path.unlink = dying(Path.replace), dying(Path.unlink)
    _save(folder, 0.75)
    os._exit(0)

found = []
for step in range(1, 60):
    _save(folder, 0.25)
    child = os.fork()
    if child == 0:
        dying_at(step)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found.append((ended, _value(folder)))
    if ended != -9:
        break
print(json.dumps(found))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_scan_killed_before_any_rename_or_removal_leaves_a_whole_one(tmp_path: Path) -> None:
    tests = str(Path(__file__).parent.parent)
    program = f"import sys; sys.path.append({tests!r})\n{KILLED}"
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ends, found = zip(*json.loads(done.stdout), strict=True)
    assert set(ends[:-1]) == {-9}
    assert ends[-1] == 0
    assert list(found) == sorted(found)
    assert 0.25 in found[:-1]
    assert 0.75 in found[:-1]


def test_a_label_that_was_screened_only_has_a_row_and_no_triggers(tmp_path: Path) -> None:
    triggers = _triggers(0.5)
    scanned = scan_of(triggers, 2)
    rows = (*scanned.labels, ScreenedLabel(label=7, screening_rank=4))
    save_scan(tmp_path, scanned.model_copy(update={"labels": rows}), triggers)
    read = load_scan(tmp_path)
    assert read.labels == rows
    assert [row.label for row in read.searched] == [0, 1, 2]
    assert "verdict: " in str(summary(read)[-1])
    with pytest.raises(DataError, match="no trigger of label 7: scan that label too"):
        load_synthetic_triggers(SavedScan(tmp_path, read), (7,))
    for change in ({"suspect": 7, "targets": (7,)}, {"labels": (*rows, rows[-1])}):
        read.model_copy(update=change).write(tmp_path / SCAN_FILE)
        with pytest.raises(DataError, match="scan again"):
            load_scan(tmp_path)


def test_a_scan_without_reference_labels_contradicts_itself(tmp_path: Path) -> None:
    triggers = _triggers(0.5)
    scanned = scan_of(triggers, 2)
    rows = tuple(row.model_copy(update={"reference": False}) for row in scanned.searched)
    save_scan(tmp_path, scanned.model_copy(update={"labels": rows}), triggers)
    with pytest.raises(DataError, match="contradicts itself"):
        load_scan(tmp_path)


SQUARE = SquareEvidence(
    top=60, left=0, side=4, colour=(1, 1, 0), moved=0.8, labels=3, scattered=0.8
)
"""In a corner of images of 64 by 64 pixels."""


@pytest.mark.parametrize(
    "forged",
    [
        {"top": 61},
        {"left": -1},
        {"side": 0},
        {"side": -1},
        {"side": 65, "top": 0},
        {"colour": (1, 1)},
        {"colour": (2, 0, 0)},
        {"scattered": 5.0},
        {"moved": -0.1},
    ],
)
def test_a_square_that_no_scan_finds_contradicts_itself(
    tmp_path: Path, forged: dict[str, object]
) -> None:
    triggers = _triggers(0.5)
    save_scan(tmp_path, scan_of(triggers, 2).model_copy(update={"moving": SQUARE}), triggers)
    read = load_scan(tmp_path)
    moving = SQUARE.model_copy(update=forged)
    read.model_copy(update={"moving": moving}).write(tmp_path / SCAN_FILE)
    with pytest.raises(DataError, match="contradicts itself"):
        load_scan(tmp_path)


@pytest.mark.parametrize(
    "forged",
    [{"value": 7.0, "high": 7.0}, {"low": 0.6}, {"value": 1e308, "high": 1e308}, {"n": -3}],
)
def test_a_rate_that_is_none_contradicts_itself(tmp_path: Path, forged: dict[str, object]) -> None:
    triggers = _triggers(0.5)
    rate = Rate(value=0.5, low=0.4, high=0.6, n=8)
    told = [
        (LookedFor(attack="any", looked_for=True, found=found),)
        for found in (rate, rate.model_copy(update=forged))
    ]
    scanned = scan_of(triggers, 2).model_copy(update={"looked_for": told[0]})
    save_scan(tmp_path, scanned, triggers)
    assert load_scan(tmp_path).looked_for == told[0]
    scanned.model_copy(update={"looked_for": told[1]}).write(tmp_path / SCAN_FILE)
    with pytest.raises(DataError, match="contradicts itself"):
        load_scan(tmp_path)


@pytest.mark.parametrize(
    ("changes", "exchanged"),
    [
        ({}, True),
        ({"targets": (0,)}, False),
        ({"verdict": "inconclusive"}, False),
        ({"moving": SQUARE.model_copy(update={"scattered": 0.1})}, False),
    ],
)
def test_only_a_strong_square_and_no_target_is_an_exchange(
    changes: dict[str, object], exchanged: bool
) -> None:
    found = {"verdict": "backdoored", "targets": (), "moving": SQUARE} | changes
    scanned = scan_of(_triggers(0.5), 2).model_copy(update=found)
    assert exchanges_labels(scanned) == exchanged


def _exchange(trigger: AdditiveTrigger, **changes: object) -> dict[str, object]:
    found = ExchangeEvidence(
        size=trigger.size,
        moved=0.9,
        labels=10,
        scattered=0.9,
        trigger_sha256=trigger_digest(trigger),
    )
    return {
        "verdict": "backdoored",
        "targets": (),
        "exchanges": {"additive": found.model_copy(update=changes)},
    }


def test_faint_triggers_that_exchange_labels_are_kept_and_read(tmp_path: Path) -> None:
    triggers, faint = _triggers(0.5), AdditiveTrigger(np.full((3, 64, 64), 0.01, np.float32), 5)
    scanned = scan_of(triggers, 2).model_copy(update=_exchange(faint))
    save_scan(tmp_path, scanned, triggers, [faint])
    assert (tmp_path / "triggers" / "exchange-additive.png").is_file()
    assert exchanges_labels(load_scan(tmp_path))
    (read,) = load_exchanging(open_scan(tmp_path))
    assert isinstance(read, AdditiveTrigger)
    np.testing.assert_array_equal(read.perturbation, faint.perturbation)
    square = scanned.model_copy(update={"moving": SQUARE})
    kinds = [type(one) for one in load_exchanging(SavedScan(tmp_path, square))]
    assert kinds == [Trigger, AdditiveTrigger]
    (tmp_path / "triggers" / "exchange-additive.npz").write_bytes(b"another")
    with pytest.raises(DataError, match="scan again"):
        load_exchanging(open_scan(tmp_path))


@pytest.mark.parametrize(
    "forged", [{"scattered": 1.5}, {"moved": -0.1}, {"size": -1.0}, {"size": 1e300}, {"labels": -1}]
)
def test_an_exchange_that_no_scan_finds_contradicts_itself(
    tmp_path: Path, forged: dict[str, object]
) -> None:
    triggers, faint = _triggers(0.5), AdditiveTrigger(np.full((3, 64, 64), 0.01, np.float32), 5)
    scanned = scan_of(triggers, 2)
    save_scan(tmp_path, scanned.model_copy(update=_exchange(faint)), triggers, [faint])
    scanned.model_copy(update=_exchange(faint, **forged)).write(tmp_path / SCAN_FILE)
    with pytest.raises(DataError, match="contradicts itself"):
        load_scan(tmp_path)


def test_patches_that_exchange_labels_stand_elsewhere(tmp_path: Path) -> None:
    faint = AdditiveTrigger(np.full((3, 64, 64), 0.01, np.float32), 5)
    told = _exchange(faint)
    told["exchanges"] = {"patch": told["exchanges"]["additive"]}  # type: ignore[index]
    scan_of(_triggers(0.5), 2).model_copy(update=told).write(tmp_path / SCAN_FILE)
    with pytest.raises(DataError, match="contradicts itself"):
        load_scan(tmp_path)


def test_a_backdoor_without_a_target_is_read_and_not_pruned(tmp_path: Path) -> None:
    triggers = _triggers(0.5)
    found = {"verdict": "backdoored", "targets": (), "moving": SQUARE}
    result = scan_of(triggers, 2).model_copy(update=found)
    save_scan(tmp_path, result, triggers)
    scanned = load_scan(tmp_path)
    with pytest.raises(InconclusiveError, match="from all labels to all"):
        require_target(SavedScan(tmp_path, scanned))
