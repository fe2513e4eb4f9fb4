"""The report, from documents on disk to what Chromium makes of it."""

import html
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from support.browsing import chromium, narrow_page
from support.graphs import (
    PLAIN,
    PLAIN_SHAPES,
    TRANSFORMER,
    TRANSFORMER_SHAPES,
    classifier,
    saved,
)
from support.scans import scan_of
from support.small import scanned_and_labelled

from hardener.cli import run
from hardener.documents.bench import BenchResult, LatencyRow, ModelBench
from hardener.documents.identity import DataIdentity, Layer, ModelIdentity
from hardener.documents.prune import PruneResult, SweepRow
from hardener.documents.rates import Rate, Ratio
from hardener.documents.scan import ScanResult
from hardener.errors import DataError
from hardener.files import sha256_of
from hardener.reporting.page import report
from hardener.scanning.saved import load_scan, save_scan
from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.family import SyntheticTrigger
from hardener.triggers.patch import Trigger
from hardener.triggers.warp import Warp

HOSTILE = "<script>window.hit = 1</script>\"'><img src=x onerror=window.hit=1>\u202e{{ 7 * 7 }}" + (
    "A" * 10_000
)
LABELS = 12


@dataclass
class Opened:
    """A page and what it did while it was open."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def _triggers() -> list[SyntheticTrigger]:
    rng = np.random.default_rng(0)
    patches = [
        Trigger(
            rng.uniform(size=(1, 16, 16)).astype(np.float32),
            rng.uniform(size=(3, 16, 16)).astype(np.float32),
            label,
        )
        for label in range(LABELS)
    ]
    faint = [
        AdditiveTrigger(rng.normal(0, 0.05, (3, 16, 16)).astype(np.float32), label)
        for label in range(LABELS)
    ]
    warps = [
        Warp(rng.normal(0, 0.02, (2, 4, 4)).astype(np.float32), label) for label in range(LABELS)
    ]
    return [*patches, *faint, *warps]


def _scanned(name: str) -> ScanResult:
    scanned = scan_of(_triggers(), 0)
    return scanned.model_copy(
        update={
            "model": ModelIdentity(path=f"models/{name}", sha256="0" * 64),
            "reasons": (f"label 0 stands out: {name}", "and a second reason"),
        }
    )


def _pruned(scanned: ScanResult) -> PruneResult:
    shares = np.linspace(0, 1, 21)
    return PruneResult(
        seed=0,
        provider="cpu",
        threads=2,
        model=scanned.model,
        data=scanned.data,
        layer=Layer(name="feature", channels=20, axis=1),
        outcome="written",
        criterion="linf-gap",
        threshold=0.25,
        rewrite="fold",
        channels=(0,),
        sweep=tuple(
            SweepRow(
                threshold=None if row == 0 else float(share),
                channels_pruned=row,
                accuracy=0.98 - 0.3 * float(share) ** 2,
                attack_success_rate=max(0.0, 1 - 2.5 * float(share)),
                robust_accuracy=min(0.9, 2 * float(share)),
            )
            for row, share in enumerate(shares)
        ),
        chosen_on=300,
        reported_on=299,
        max_accuracy_drop=0.02,
        accuracy_before=0.98,
        accuracy_after=0.975,
        attack_success_rate_before=1.0,
        attack_success_rate_after=0.01,
        hardened=ModelIdentity(path="hardened.onnx", sha256="1" * 64),
    )


def _measured(scanned: ScanResult) -> BenchResult:
    def rate(value: float) -> Rate:
        return Rate(value=value, low=value - 0.01, high=value + 0.01, n=1000)

    def row(path: str, digit: str, attack: float, ms: float) -> ModelBench:
        latency = LatencyRow(
            provider="cpu",
            batch_size=1,
            threads=2,
            warmup_runs=5,
            timed_runs=50,
            p50_ms=ms,
            p95_ms=1.3 * ms,
            p99_ms=1.5 * ms,
            images_per_s=1000 / ms,
            ratio=Ratio(value=ms, low=ms, high=ms),
        )
        return ModelBench(
            path=path,
            sha256=digit * 64,
            accuracy=rate(0.97),
            attack_success_rate={"clean+ori": rate(attack)},
            robust_accuracy={"clean+ori": rate(0.9 - attack / 2)},
            latency=(latency,),
            latency_ratio=Ratio(value=ms, low=ms - 0.01, high=ms + 0.01),
            file_bytes=12345,
        )

    return BenchResult(
        seed=0,
        provider="cpu",
        threads=2,
        model=scanned.model,
        data=DataIdentity(path="test.zip", sha256="3" * 64, count=1000),
        target=0,
        models=(row("m.onnx", "0", 0.9, 1.0), row("hardened.onnx", "1", 0.02, 0.98)),
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a model with a hostile name, and the documents that it came from."""
    folder = tmp_path_factory.mktemp("report")
    scanned = _scanned(HOSTILE)
    save_scan(folder / "scan", scanned, _triggers())
    _pruned(scanned).write(folder / "hardened.json")
    _measured(scanned).write(folder / "bench.json")
    report(
        folder / "scan",
        folder / "report.html",
        hardened=folder / "hardened.json",
        bench=folder / "bench.json",
    )
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all tests."""
    with chromium() as started:
        yield started


@pytest.fixture(params=["light", "dark"])
def opened(browser: Browser, written: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """The report in a narrow window, in light and in dark."""
    page = narrow_page(browser, request.param)
    shown = Opened(page)
    page.on("console", lambda message: shown.errors.append(message.text))
    page.on("pageerror", lambda error: shown.errors.append(str(error)))
    page.on("request", lambda asked: shown.requests.append(asked.url))
    page.goto((written / "report.html").as_uri())
    yield shown
    page.close()


def test_the_page_opens_without_errors_requests_or_barriers(opened: Opened, written: Path) -> None:
    page = opened.page
    assert not opened.errors
    elsewhere = [url for url in opened.requests if not url.startswith("data:")]
    assert elsewhere == [(written / "report.html").as_uri()]
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    found = Axe().run(page).response["violations"]
    assert not [(one["id"], one["nodes"][0]["html"][:200]) for one in found]


def test_hostile_names_are_shown_as_text(opened: Opened) -> None:
    assert opened.page.evaluate("window.hit") is None
    assert opened.page.locator("h1").inner_text().startswith("<script>") or (
        "window.hit" in opened.page.locator("h1").inner_text()
    )
    assert "{{ 7 * 7 }}" in opened.page.locator("#reasons + ul").inner_text()
    assert opened.page.locator("img[src=x]").count() == 0


def test_the_sweep_answers_to_keys_and_pointer(opened: Opened, written: Path) -> None:
    page, rows = opened.page, json.loads((written / "hardened.json").read_text())["sweep"]
    slider, numbers = page.locator("#threshold"), page.locator("#numbers")
    chosen = next(place for place, row in enumerate(rows) if row["threshold"] == 0.25)
    assert slider.input_value() == str(chosen)
    slider.focus()
    page.keyboard.press("ArrowRight")
    row = rows[chosen + 1]
    said = numbers.inner_text()
    assert f"{row['channels_pruned']} channels" in said
    assert f"attack success {100 * row['attack_success_rate']:.2f} %" in said
    page.keyboard.press("Home")
    assert "as it came: 0 channels" in numbers.inner_text()
    drawing = page.locator("svg[data-points]")
    drawing.scroll_into_view_if_needed()
    box = drawing.bounding_box()
    assert box is not None
    points = json.loads(drawing.get_attribute("data-points") or "[]")
    assert len(points) == len(rows)
    inner = drawing.evaluate("svg => svg.viewBox.baseVal.width")
    page.mouse.move(box["x"] + points[7] / inner * box["width"], box["y"] + box["height"] / 2)
    assert slider.input_value() == "7"
    assert f"{rows[7]['channels_pruned']} channels" in numbers.inner_text()


def test_numbers_on_the_page_are_those_of_the_documents(written: Path) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    row = r'<tr><th scope="row">([^<]*)</th><td>([^<]*)</td><td>([^<]*)</td></tr>'
    cells = re.findall(row, text)
    assert cells[0] == ("accuracy", "97.00 % (96.00 to 98.00)", "97.00 % (96.00 to 98.00)")
    assert cells[1][0] == "attack success rate, clean+ori"
    assert cells[1][1:] == ("90.00 % (89.00 to 91.00)", "2.00 % (1.00 to 3.00)")
    assert len(text) < 5_000_000
    assert "--trigger TRIGGER.npz" in text
    assert (
        "hardened.onnx; its accuracy budget was not measured. Accuracy 98.00 % → 97.50 %. Attack "
        "success rate 100.00 % → 1.00 %. Scan it before it ships."
    ) in text
    assert text.count("data:image/png;base64,") == 6


def test_the_hardened_model_is_told_by_its_digest(tmp_path: Path) -> None:
    model, scan, data = scanned_and_labelled(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path)
    scanned = json.loads((scan / "scan.json").read_text())
    scanned["channels"] = [{"channel": 0, "linf_clean": 1.0, "linf_triggered": 2.0, "gap": 1.0}]
    (scan / "scan.json").write_text(json.dumps(scanned))
    (tmp_path / "beside").mkdir()
    right = saved(classifier(PLAIN, dict(PLAIN_SHAPES), seed=1), tmp_path / "beside" / "h.onnx")
    other = saved(classifier(PLAIN, dict(PLAIN_SHAPES), seed=2), tmp_path / "other.onnx")
    document = _pruned(load_scan(scan)).model_copy(
        update={"hardened": ModelIdentity(path=str(tmp_path / "h.onnx"), sha256=sha256_of(right))}
    )
    document.write(tmp_path / "beside" / "h.json")
    saved(classifier(PLAIN, dict(PLAIN_SHAPES), seed=3), tmp_path / "h.onnx")
    written = tmp_path / "beside" / "h.json"

    def show(page: str, beside: Path | None = None) -> str:
        path = tmp_path / page
        report(scan, path, hardened=written, model=model, data=data, beside=beside, provider="cpu")
        return path.read_text(encoding="utf-8")

    text = show("a.html")
    assert f"{right}, SHA-256 {sha256_of(right)}" in text
    assert "to the target label, as it came: 2 of 2, hardened: " in text
    text = show("b.html", other)
    assert f"{other}, SHA-256 {sha256_of(other)}" in text
    assert "to the target label, as it came: 2 of 2, other.onnx: " in text
    right.unlink()
    with pytest.raises(DataError, match="give the one to show with --beside"):
        show("c.html")


def test_what_cannot_be_shown_stands_on_the_page(tmp_path: Path) -> None:
    oblong = TRANSFORMER.replace("[4,4], strides=[4,4]", "[4,2], strides=[4,2]")
    proto = classifier(oblong, {**TRANSFORMER_SHAPES, "patch": (6, 3, 4, 2)})
    model, scan, data = scanned_and_labelled(proto, tmp_path)
    scanned = json.loads((scan / "scan.json").read_text())
    scanned["channels"] = [{"channel": 0, "linf_clean": 1.0, "linf_triggered": 2.0, "gap": 1.0}]
    (scan / "scan.json").write_text(json.dumps(scanned))
    result = report(scan, tmp_path / "p.html", model=model, data=data, provider="cpu")
    text = (tmp_path / "p.html").read_text()
    assert "Not shown: <bdi>Grad-CAM of m.onnx" in text
    assert any("form no grid" in sentence for sentence in result.missing)


def test_commands_to_copy_hold_no_others(tmp_path: Path) -> None:
    scanned = _scanned("m.onnx")
    data = DataIdentity(path="-o=$(id)", sha256="0" * 64, count=6)
    changed = _pruned(scanned).model_copy(
        update={"criterion": "linf; id #", "rewrite": "fold --force\nid", "data": data}
    )
    save_scan(tmp_path / "s", scanned, _triggers())
    changed.write(tmp_path / "h.json")
    report(tmp_path / "s", tmp_path / "r.html", hardened=tmp_path / "h.json")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    (block,) = re.findall(r'aria-label="Commands">(.*?)</pre>', text, re.DOTALL)
    lines = html.unescape(block).strip().splitlines()
    assert len(lines) == 2
    words = shlex.split(lines[1])
    assert words[:4] == ["harden", "prune", "models/m.onnx", "--scan"]
    assert words[words.index("--data") + 1] == "./-o=$(id)"
    assert "--criterion=linf; id #" in words
    assert "--rewrite=fold --force\\nid" in words


def test_marks_that_turn_text_round_are_spelt_out(tmp_path: Path) -> None:
    turned = "a\u202eb\x1bc"
    scanned = _scanned(turned).model_copy(update={"layer": Layer(name=turned, channels=20, axis=1)})
    changed = _pruned(scanned).model_copy(
        update={"notes": (turned,), "hardened": ModelIdentity(path=turned, sha256="1" * 64)}
    )
    save_scan(tmp_path / "s", scanned, _triggers())
    changed.write(tmp_path / "h.json")
    report(tmp_path / "s", tmp_path / "r.html", hardened=tmp_path / "h.json")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "a\\u202eb\\x1bc" in text
    assert not {"\u202e", "\x1b"} & set(text)


def test_a_measurement_of_other_models_is_refused(tmp_path: Path) -> None:
    scanned = _scanned("m.onnx")
    save_scan(tmp_path / "s", scanned, _triggers())
    other = ModelIdentity(path="other.onnx", sha256="7" * 64)
    _pruned(scanned).model_copy(update={"hardened": other}).write(tmp_path / "h.json")
    _measured(scanned).write(tmp_path / "b.json")
    with pytest.raises(DataError, match=r"and not of other\.onnx as it was written"):
        report(
            tmp_path / "s", tmp_path / "r.html", hardened=tmp_path / "h.json",
            bench=tmp_path / "b.json",
        )  # fmt: skip
    with pytest.raises(DataError, match=r"--bench .*none\.json does not exist"):
        report(tmp_path / "s", tmp_path / "r.html", bench=tmp_path / "none.json")
    assert not (tmp_path / "r.html").exists()


def test_the_same_documents_give_the_same_bytes(written: Path, tmp_path: Path) -> None:
    report(
        written / "scan",
        tmp_path / "again.html",
        hardened=written / "hardened.json",
        bench=written / "bench.json",
    )
    assert (tmp_path / "again.html").read_bytes() == (written / "report.html").read_bytes()


def test_a_document_of_another_model_is_refused(written: Path, tmp_path: Path) -> None:
    other = _measured(_scanned("m.onnx").model_copy(
        update={"model": ModelIdentity(path="m.onnx", sha256="9" * 64)}
    ))  # fmt: skip
    other.write(tmp_path / "bench.json")
    with pytest.raises(DataError, match="of another model"):
        report(written / "scan", tmp_path / "r.html", bench=tmp_path / "bench.json")
    assert not (tmp_path / "r.html").exists()


def test_the_command_says_what_the_page_lacks(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", str(written / "scan"), "-o", str(tmp_path / "r.html")]) == 0
    shown = capsys.readouterr()
    assert f"wrote {tmp_path / 'r.html'}" in shown.out
    assert "--hardened HARDENED.json" in shown.err
    wrong = ["--hardened", str(written / "bench.json")]
    assert run(["report", str(written / "scan"), "-o", str(tmp_path / "s.html"), *wrong]) == 2
    assert "give the .json beside the hardened model" in capsys.readouterr().err
    assert run(["report", str(tmp_path), "-o", str(tmp_path / "r.html")]) == 2
    assert run(["report", str(written / "scan"), "-o", str(tmp_path / "r.txt")]) == 2
