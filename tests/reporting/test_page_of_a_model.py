"""Pages that every command writes with `--report`, with what the model shows, in Chromium."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from axe_playwright_python.sync_playwright import Axe
from support.browsing import chromium, narrow_page
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, saved
from support.small import WHITE, scanned_and_labelled

from hardener.cli import run
from hardener.model.files import CLASS_NAMES_KEY
from hardener.reporting.plain_text import printable
from hardener.scanning.saved import load_scan
from hardener.triggers.patch import Trigger, save_trigger

SCRIPT = "<script>window.hit = 1</script>\"'><img src=x onerror=window.hit=1>"
NAMES = ["\u202ebackwards", "A" * 10_000, "{{ 7 * 7 }} \"'", SCRIPT, "plain"]
EXIT_CODES = {"clean": 0, "backdoored": 1, "inconclusive": 3}
SHOWN = ("attention", "activations", "norms")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and images, scanned with a report, and the true trigger."""
    folder = tmp_path_factory.mktemp("pages")
    scanned_and_labelled(classifier(PLAIN, dict(PLAIN_SHAPES)), folder)
    shutil.rmtree(folder / "s")
    model = onnx.load(folder / "m.onnx")
    model.metadata_props.add(key=CLASS_NAMES_KEY, value=json.dumps(NAMES))
    onnx.save(model, folder / "m.onnx")
    mask = np.ones((1, 8, 8), np.float32)
    save_trigger(Trigger(mask, np.ones((3, 8, 8), np.float32), WHITE), folder / "known.npz")
    code = _harden(
        folder, "scan m.onnx --data d.npz -o s --known-trigger known.npz --report scan.html"
    )
    assert code == EXIT_CODES[load_scan(folder / "s").verdict]
    saved(classifier(PLAIN, dict(PLAIN_SHAPES), seed=1), folder / "second.onnx")
    os.mkfifo(folder / "pipe.onnx")
    (folder / "policy.html").write_text("[preprocessing]\nsize = [8, 8]\n")
    return folder


def _harden(folder: Path, line: str) -> int:
    words = line.split()
    named = [
        str(folder / word) if "." in word or (place and words[place - 1] in ("--scan", "-o")) else
        word for place, word in enumerate(words)
    ]  # fmt: skip
    return run([*named, "--provider", "cpu"])


def _figures(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(r'<g id="([a-z]+)-figure_1"', text)


def test_a_scan_shows_what_the_model_looks_at(work: Path) -> None:
    assert _figures(work / "scan.html") == [*SHOWN, "labels", "anomalies", "channels"]


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("prune m.onnx --scan s --data d.npz -o p.onnx --force --report page.html", "sweep"),
        ("repair m.onnx --scan s --data d.npz -o r.onnx --force --rounds 1 --report page.html", ""),
        ("bench m.onnx --data d.npz --scan s -o b.json --report page.html", "latency"),
        ("bench m.onnx m.onnx --data d.npz --scan s -o b.json --trigger known.npz "
         "--report page.html", "latency"),
    ],
)  # fmt: skip
def test_every_command_writes_the_page_of_its_result(
    line: str, more: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = work / "page.html"
    page.unlink(missing_ok=True)
    code = _harden(work, line)
    assert f"wrote {page}" in capsys.readouterr().err
    assert code == _harden(work, line.replace("--report page.html", ""))
    drawn = _figures(page)
    assert drawn[:3] == list(SHOWN)
    assert not more or more in drawn
    assert ("the true trigger, label" in page.read_text(encoding="utf-8")) == ("known.npz" in line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("scan m.onnx --data d.npz -o t --report page.txt", "ends in .html"),
        ("prune m.onnx --scan s --data d.npz -o p.onnx --dry-run --report page.html", "--dry-run"),
        ("scan m.onnx --data d.npz -o page.html --report page.html", "another name"),
        ("bench m.onnx --data d.npz --scan s -o page.html/b.json --report page.html", "another"),
        ("bench pipe.onnx --data d.npz --scan s -o b.json --report page.html", "pipe.onnx"),
        ("bench second.onnx --data d.npz --scan s -o b.json --report page.html", "first"),
        ("report s --policy policy.html -o policy.html", "is an input itself"),
        ("prune m.onnx --channels 1 -o p.onnx --report page.html", "goes without"),
        ("bench m.onnx --data d.npz -o b.json --report page.html", "give --scan"),
        ("report s -o page.html --model m.onnx", "go together"),
        ("report s -o page.html --images 3", "go together"),
        ("report s -o page.html --model m.onnx --data d.npz --images 900", "has images 0 to 299"),
        ("report s -o page.html --model m.onnx --data d.npz --images x", "--images"),
        ("report s -o page.html --model m.onnx --data d.npz --beside none.onnx", "none.onnx"),
        ("report s -o page.html --model known.npz --data d.npz", "known.npz"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_the_work(
    line: str, said: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in work.iterdir())
    words = line.replace("report s ", f"report {work / 's'} ")
    assert _harden(work, words) == 2
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in work.iterdir()) == before


def test_a_model_with_external_weights_has_a_page_too(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(work / "m.onnx")
    onnx.save(
        model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0
    )
    shutil.copy(work / "d.npz", tmp_path / "d.npz")
    assert _harden(tmp_path, "scan m.onnx --data d.npz -o s --quiet") in EXIT_CODES.values()
    line = "bench m.onnx --data d.npz --scan s -o b.json --report page.html"
    assert _harden(tmp_path, line) == 0
    assert f"wrote {tmp_path / 'page.html'}" in capsys.readouterr().err


def test_a_page_that_cannot_be_made_leaves_the_result_and_its_exit_code(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("m.onnx", "known.npz"):
        shutil.copy(work / name, tmp_path / name)
    stored = np.load(work / "d.npz")
    alone = stored["labels"] == WHITE  # no image is left that the trigger could mislead
    np.savez(tmp_path / "d.npz", images=stored["images"][alone], labels=stored["labels"][alone])
    line = "scan m.onnx --data d.npz -o s --known-trigger known.npz --report page.html"
    code = _harden(tmp_path, line)
    assert code == EXIT_CODES[load_scan(tmp_path / "s").verdict]
    said = capsys.readouterr().err
    assert "page.html was not written, all else is as told" in said
    assert not (tmp_path / "page.html").exists()


def test_the_page_has_no_barriers_and_asks_nobody(work: Path) -> None:
    with chromium() as browser:
        page = narrow_page(browser)
        errors: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda asked: requests.append(asked.url))
        page.goto((work / "scan.html").as_uri())
        assert not errors
        assert [url for url in requests if not url.startswith("data:")] == [
            (work / "scan.html").as_uri()
        ]
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate("window.hit") is None
        names = page.locator("th:text-is('class names') + td").inner_text()
        shown = re.findall(r"(?:^|; )(\d): ", names)
        assert str(WHITE) in shown
        assert SCRIPT in names
        assert all(printable(NAMES[int(label)][:200]) in names for label in shown)
        assert "A" * 201 not in names
        assert "\u202e" not in names
        violations = Axe().run(page).response["violations"]
        assert not [(one["id"], one["nodes"][0]["html"][:200]) for one in violations]
