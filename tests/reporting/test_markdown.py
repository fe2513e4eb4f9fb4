"""Documents as Markdown: short, verdict first, hostile names inert."""

import re

import pytest
from markdown_it import MarkdownIt
from support.scans import some_scan

from hardener.documents.bench import BenchResult, LatencyRow, ModelBench
from hardener.documents.document import Document
from hardener.documents.export import ExportResult
from hardener.documents.identity import DataIdentity, Layer, ModelIdentity
from hardener.documents.prune import PruneResult
from hardener.documents.rates import Rate, Ratio
from hardener.documents.repair import RepairResult, ResidualSuccess
from hardener.errors import UsageError
from hardener.reporting.markdown import markdown

HOSTILE = "a|b`c`<script>x</script>\n# @octocat [l](https://evil.example) ![i](//e)" * 150
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
KNOWN = {"h3", "ul", "li", "p", "code", "table", "thead", "tbody", "tr", "th", "td"}


def _identity(path: str = "m.onnx") -> ModelIdentity:
    return ModelIdentity(path=path, sha256="a" * 64)


def _data(path: str = "d.zip") -> DataIdentity:
    return DataIdentity(path=path, sha256="b" * 64, count=600)


def _prune(name: str = "m.onnx", **changes: object) -> PruneResult:
    fields: dict[str, object] = {
        "seed": 0,
        "provider": "cpu",
        "model": _identity(name),
        "data": _data(name),
        "layer": Layer(name=name, channels=6, axis=1),
        "outcome": "written",
        "criterion": name,
        "rewrite": name,
        "channels": (1, 4),
        "reported_on": 300,
        "accuracy_before": 0.9,
        "accuracy_after": 0.89,
        "attack_success_rate_before": 1.0,
        "attack_success_rate_after": 0.0125,
        "robust_accuracy_before": 0.0,
        "robust_accuracy_after": 0.85,
        "hardened": _identity(name),
    }
    return PruneResult.model_validate(fields | changes)


def _repair(name: str = "m.onnx", **changes: object) -> RepairResult:
    pruned = _prune(name).model_dump(exclude={"criterion", "rewrite", "channels", "threshold"})
    shared = {key: value for key, value in pruned.items() if key in RepairResult.model_fields}
    more = {
        "targets": (8,),
        "max_accuracy_drop": 0.01,
        "max_attack_success": 0.1,
        "chosen_round": 1,
        "residual_success": {"estimate": 0.02, "upper": 0.06},
    }
    return RepairResult.model_validate(shared | more | changes)


def _bench(name: str = "m.onnx", models: int = 2, settings: int = 2) -> BenchResult:
    rates = [Rate(value=0.1 * k, low=0.0, high=0.9, n=600) for k in range(1, settings + 1)]
    ratio = Ratio(value=1.01, low=0.99, high=1.03)
    row = LatencyRow(
        provider="cpu",
        batch_size=1,
        threads=2,
        warmup_runs=3,
        timed_runs=30,
        p50_ms=0.37,
        p95_ms=0.4,
        p99_ms=0.5,
        images_per_s=2700,
        ratio=ratio,
    )
    one = ModelBench(
        path=name,
        sha256="c" * 64,
        accuracy=Rate(value=0.975, low=0.97, high=0.98, n=600),
        attack_success_rate={f"{name}{k}": rate for k, rate in enumerate(rates)},
        robust_accuracy={f"{name}{k}": rate for k, rate in enumerate(rates)},
        latency=(row,),
        latency_ratio=ratio,
        file_bytes=10,
    )
    return BenchResult(
        seed=0,
        provider="cpu",
        model=_identity(name),
        data=_data(name),
        target=8,
        models=(one,) * models,
    )


LARGE: dict[str, Document] = {
    "scan": some_scan(
        1000,
        targets=tuple(range(1000)),
        reasons=(HOSTILE,) * 1000,
        provider=HOSTILE,
        model={"path": HOSTILE, "sha256": HOSTILE},
        data={"path": HOSTILE, "sha256": HOSTILE, "count": 9},
        tool={"name": HOSTILE, "version": HOSTILE},
    ),
    "prune": _prune(HOSTILE, notes=(HOSTILE,) * 1000),
    "repair": _repair(HOSTILE, notes=(HOSTILE,) * 1000, targets=tuple(range(1000))),
    "bench": _bench(HOSTILE, models=1000, settings=50),
}


@pytest.mark.parametrize("name", LARGE)
def test_it_is_short_and_inert_whatever_the_document_holds(name: str) -> None:
    text = markdown(LARGE[name])
    assert len(text) < 6_000
    assert len(text.splitlines()) < 60
    html = PARSER.render(text)
    assert set(re.findall(r"</?(\w+)", html)) <= KNOWN
    assert html.count("<h3>") == 1
    assert not re.search(r"@\w|://", text)
    rows = [row.count("<t") for row in html.split("<tr>")[1:]]
    columns = {"scan": 5, "prune": 3, "repair": 3, "bench": 6}[name]
    assert {len(re.findall(r"</t[hd]>", row)) for row in html.split("<tr>")[1:]} == {columns}
    assert rows


@pytest.mark.parametrize("name", LARGE)
def test_the_same_document_is_the_same_text(name: str) -> None:
    document = LARGE[name]
    again = type(document).model_validate_json(document.to_json())
    assert markdown(again) == markdown(document)


def test_a_scan_says_its_verdict_its_reasons_its_labels_and_its_digests_in_order() -> None:
    lines = markdown(some_scan(reasons=("label 0 is suspicious", "so it is"))).splitlines()
    assert lines[0] == "### harden scan: backdoored, target label 0"
    assert lines[2:4] == ["- label 0 is suspicious", "- so it is"]
    assert "score 0.90" in lines[5]
    assert "accuracy 90.00 % on 6 images; 3 labels searched" in lines[5]
    assert lines[9] == "| label 0, patch | 1.0 pixels | 1.00 | 1.0 | 50.00 % |"
    assert f"- model m.onnx: `{'0' * 64}`" in lines
    assert lines[-1].startswith("- made by hardener ")
    assert lines[-1].endswith("seed 0, on cpu")


def test_the_labels_that_stand_apart_most_come_after_the_targets() -> None:
    rows = some_scan(4).model_dump()["labels"]
    rows[0]["anomaly_index"] = -1.0
    rows[3]["anomaly_index"] = 2.0
    rows[2]["warp"]["nothing_found"] = True
    text = markdown(some_scan(labels=rows))
    assert re.findall(r"^\| label (\d), (\w+)", text, re.MULTILINE) == [
        *(("0", "patch"), ("3", "patch"), ("1", "additive"))
    ]


def test_a_scan_that_is_not_backdoored_names_no_target() -> None:
    unsure = markdown(some_scan(verdict="inconclusive"))
    assert unsure.startswith("### harden scan: inconclusive, suspected label 0\n")
    clean = markdown(some_scan(verdict="clean", targets=()))
    assert clean.startswith("### harden scan: clean\n")


def test_a_scan_without_images_has_no_table() -> None:
    alone = some_scan(data=None, accuracy=None, labels=(), channels=(), norms={})
    assert "|" not in markdown(alone)


def test_a_prune_shows_what_it_changed() -> None:
    text = markdown(_prune("fold"))
    assert text.startswith(
        "### harden prune: written\n\n- wrote fold: 2 of 6 channels of fold, fold"
    )
    assert "| accuracy | 90.00 % | 89.00 % |" in text
    assert "| attack success, synthetic triggers | 100.00 % | 1.25 % |" in text
    assert text.count(f"`{'a' * 64}`") == 2


def test_a_prune_of_named_channels_has_no_table() -> None:
    text = markdown(_prune(accuracy_before=None, data=None))
    assert "|" not in text
    assert "images" not in text


def test_a_repair_that_wrote_nothing_says_why() -> None:
    bound = ResidualSuccess(estimate=0.2, upper=0.25, held_against=0.2)
    text = markdown(_repair(outcome="attack-left", hardened=None, residual_success=bound))
    said = "triggers still send 20.00 % of the images to the target label, more than 10.00 %"
    assert text.startswith(f"### harden repair: attack-left\n\n- {said}: nothing written")
    assert "| left by triggers at hand, with a margin |  | 25.00 % |" in text
    assert "| goes to the target label without any trigger |  | 0.00 % |" in text
    assert "hardened m.onnx" not in text


def test_a_repair_that_a_search_would_accuse_again_says_so() -> None:
    text = markdown(_repair(outcome="attack-left", hardened=None))
    assert "- searched again, the model would still be called backdoored: nothing written" in text


def test_a_bench_shows_models_side_by_side() -> None:
    text = markdown(_bench())
    assert text.startswith(
        "### harden bench: 2 models\n\n- from the first model to the last: accuracy 97.50 % → "
        "97.50 %, attack success 20.00 % → 20.00 %, robust accuracy 10.00 % → 10.00 %; latency 1.01"
    )
    assert "Measured on 600 images" in text
    row = (
        "| m.onnx | 97.50 % (97.00-98.00) | 20.00 % (0.00-90.00) | 10.00 % (0.00-90.00) | 0.37 ms "
        "| 1.01 (0.99-1.03) |"
    )
    assert text.splitlines().count(row) == 2


def test_a_bench_of_one_model_without_an_attack_compares_nothing() -> None:
    text = markdown(_bench(models=1, settings=0))
    assert text.startswith("### harden bench: 1 model\n\nMeasured on 600 images")
    assert "| not tried | not tried |" in text
    assert "first model" not in text


def test_folders_of_one_machine_are_left_out() -> None:
    assert "someone" not in markdown(_bench("/home/someone/models/m.onnx"))


def test_other_documents_have_no_markdown() -> None:
    exported = ExportResult(
        seed=0,
        provider="cpu",
        checkpoint=_identity(),
        model=_identity(),
        data=None,
        parity_images=1,
        largest_difference=0.0,
    )
    with pytest.raises(UsageError, match="ExportResult has no Markdown"):
        markdown(exported)
