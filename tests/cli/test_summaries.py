"""What is shown of a result, and what is left out."""

import io

import pytest
from rich.console import Console
from support.documents import some_bench, some_prune, some_repair
from support.scans import some_scan

from hardener.cli.commands import bench, prune, repair, scan
from hardener.cli.lines import Line, Rows, Sentence
from hardener.cli.tables import DrawnRows
from hardener.documents.scan import SquareEvidence


def _shown(lines: list[Line], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    for line in lines:
        match line:
            case Rows():
                console.print(DrawnRows(line))
            case Sentence():
                console.print(line.lead + line.words, markup=False)
            case _:
                console.print(line, markup=False)
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def _bars(lines: list[Line], row: str) -> list[int]:
    """How long the bars of the first line are that holds a text."""
    line = next(one for one in _shown(lines).splitlines() if row in one)
    return [2 * word.count("━") + word.count("╸") for word in line.split() if "━" in word]


def test_of_many_reasons_some_are_shown_and_the_rest_counted() -> None:
    lines = scan.summary(some_scan(reasons=tuple(f"reason {one}" for one in range(11))))
    said = [line.words for line in lines if isinstance(line, Sentence) and line.lead == "- "]
    assert said == [*(f"reason {one}" for one in range(8)), "and 3 more in scan.json"]
    eight = scan.summary(some_scan(reasons=("a reason",) * 8))
    assert not any("more in" in str(line) for line in eight)


def test_an_exchange_of_labels_is_named_and_no_target() -> None:
    square = SquareEvidence(
        top=0, left=0, side=4, colour=(1, 1, 0), moved=0.9, labels=9, scattered=0.9
    )
    last = scan.summary(some_scan(12, targets=(), moving=square.model_dump()))[-1]
    assert isinstance(last, Sentence)
    assert last.words.startswith("backdoored, all labels exchanged (score")


@pytest.mark.parametrize(("verdict", "told"), [("clean", True), ("backdoored", False)])
def test_what_was_not_looked_for_stands_behind_a_verdict_that_accuses_nobody(
    verdict: str, told: bool
) -> None:
    kinds = [
        {"attack": attack, "looked_for": looked, "found": None}
        for attack, looked in (("seen", True), ("large patches", False))
    ]
    targets = () if verdict == "clean" else (0,)
    lines = scan.summary(some_scan(12, verdict=verdict, targets=targets, looked_for=kinds))
    said = [line.words for line in lines if isinstance(line, Sentence)]
    assert ("not looked for: large patches" in said) == told


def test_a_scan_fits_on_a_screen_and_ends_with_its_verdict() -> None:
    lines = scan.summary(some_scan(43, reasons=("a reason " * 14,) * 20))
    assert len(_shown(lines).splitlines()) <= 36
    assert isinstance(lines[-1], Sentence)
    assert (lines[-1].lead, lines[-1].style) == ("verdict: ", "bold red")


def test_each_kind_shows_its_smallest_first() -> None:
    scanned = some_scan(12)
    rows = tuple(
        row.model_copy(
            update={
                "mask_l1": 100.0 - row.label,
                "relative_size": 1 - row.label / 100,
                "warp": row.warp.model_copy(update={"nothing_found": True}),
            }
        )
        for row in scanned.searched
    )
    shown = _shown(scan.summary(scanned.model_copy(update={"labels": rows})))
    patches = [line.split()[1] for line in shown.splitlines() if line.startswith("patch")]
    assert patches == ["11", "10", "9"]
    assert "\nwarp" not in shown


def test_bars_are_as_long_as_what_they_show() -> None:
    assert _bars(repair.summary(some_repair()), " none ") == [20]
    assert _bars(prune.summary(some_prune(41)), "41.000") == [20]
    assert _bars(prune.summary(some_prune(41)), "21.000") == [10, 10]
    assert _bars(prune.summary(some_prune(41)), "* 1.000") == [20]


def test_a_long_sweep_is_thinned_and_keeps_what_was_chosen() -> None:
    shown = _shown(prune.summary(some_prune(400)))
    assert len(shown.splitlines()) <= 22
    assert "* 1.000" in shown


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (("a/model.onnx", "b/hardened.onnx"), ("model.onnx", "hardened.onnx")),
        (("a/model.onnx", "b/model.onnx"), ("a/model.onnx", "b/model.onnx")),
        (("[red]m.onnx", "n.onnx"), ("[red]m.onnx", "n.onnx")),
    ],
)
def test_models_of_a_bench_have_names_of_their_own(
    paths: tuple[str, str], names: tuple[str, str]
) -> None:
    shown = _shown(bench.summary(some_bench(*paths)))
    for name in names:
        assert sum(line.startswith(name) for line in shown.splitlines()) == 5


def test_a_narrow_terminal_gets_rows_in_words() -> None:
    words = " ".join(_shown(bench.summary(some_bench("m.onnx")), 40).split())
    assert "- model m.onnx, setting clean+ori, attack success 100.00 (99.97-100.00)" in words
    assert "- round * 1, accuracy 100.00 %, attack success 0.00 %" in " ".join(
        _shown(repair.summary(some_repair()), 40).split()
    )
