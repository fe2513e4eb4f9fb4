"""Documents as Markdown for a pull request's comment or a job's summary: short, verdict first.

However many labels, models or reasons there are, a text has under 60 lines and 6,000 characters.
"""

from collections.abc import Mapping, Sequence
from functools import singledispatch

from hardener.documents.bench import BenchResult, ModelBench
from hardener.documents.document import Document, Run
from hardener.documents.hardening import Hardening
from hardener.documents.identity import DataIdentity, ModelIdentity
from hardener.documents.prune import PruneResult
from hardener.documents.rates import Rate, Ratio
from hardener.documents.repair import RepairResult
from hardener.documents.scan import LabelEvidence, ScanResult
from hardener.documents.trigger_evidence import TriggerEvidence
from hardener.errors import UsageError
from hardener.reporting.markdown_text import digest, escaped, table
from hardener.reporting.outcomes import (
    before_and_after,
    not_looked_for,
    prune_outcome,
    repair_outcome,
    what_is_left,
)
from hardener.reporting.plain_text import listed, percent
from hardener.triggers.families import FAMILIES

_LABELS_SHOWN = 5
_TARGETS_SHOWN = 10
_MODELS_SHOWN = 8
_SENTENCES_SHOWN = 8
_LONGEST_SENTENCE = 320
_LONGEST_NAME = 80
_LONGEST_WORD = 40


@singledispatch
def markdown(result: Document) -> str:
    """A scan, prune, repair or bench as Markdown. The same document gives the same text.

    Names and sentences of a document are shown as they are, and never work as markup.

    Raises:
        UsageError: it is another document.
    """
    raise UsageError(f"a {type(result).__name__} has no Markdown: use its JSON")


@markdown.register
def _scan(result: ScanResult) -> str:
    """Verdict, reasons, the labels that are easiest to reach, digests."""
    targets = listed(result.targets, _TARGETS_SHOWN)
    named = {"backdoored": ", target label ", "inconclusive": ", suspected label "}
    said = f"{named[result.verdict]}{targets}" if targets and result.verdict in named else ""
    measured = [f"score {result.score:.2f} (0 to 1, higher is more suspicious)"]
    if result.data is not None:
        measured.append(f"accuracy {percent(result.accuracy)} on {result.data.count} images")
        screened = len(result.labels) - len(result.searched)
        measured.append(
            f"{len(result.searched)} labels searched" + f", {screened} screened" * bool(screened)
        )
    return _text(
        f"harden scan: {result.verdict}{said}",
        [*result.reasons],
        [f"{'; '.join(measured)}.", *_not_looked_for(result)],
        _suspects(result),
        _digests(result, ("model", result.model), data=result.data),
    )


@markdown.register
def _prune(result: PruneResult) -> str:
    """How it ended, what it changed, digests."""
    return _text(
        f"harden prune: {result.outcome}",
        [prune_outcome(result), *result.notes],
        _on_other_images(result),
        _before_and_after(result, []),
        _digests(result, ("model", result.model), ("hardened", result.hardened), data=result.data),
    )


@markdown.register
def _repair(result: RepairResult) -> str:
    """How it ended, what it changed, digests."""
    more = [(what, "", rate) for what, rate in what_is_left(result)]
    return _text(
        f"harden repair: {result.outcome}",
        [repair_outcome(result), *result.notes],
        _on_other_images(result),
        _before_and_after(result, more),
        _digests(result, ("model", result.model), ("hardened", result.hardened), data=result.data),
    )


@markdown.register
def _bench(result: BenchResult) -> str:
    """The models side by side, digests."""
    shown = result.models[:_MODELS_SHOWN]
    left = len(result.models) - len(shown)
    target = "" if result.target is None else f", target label {result.target}"
    models = "1 model" if len(result.models) == 1 else f"{len(result.models)} models"
    said = [f"Measured on {result.data.count} images with 95 % intervals{target}."]
    if any(model.attack_success_rate for model in shown):
        said.append("Of several input settings the highest attack success and lowest robust count.")
    if left:
        said.append(f"{left} more models stand in the JSON file.")
    rows = [
        (
            _name(model.path),
            _rate(model.accuracy),
            _rate(_highest(model.attack_success_rate)),
            _rate(_lowest(model.robust_accuracy)),
            _latency(model),
            _ratio(model.latency_ratio),
        )
        for model in shown
    ]
    head = ("model", "accuracy", "attack success", "robust accuracy", "p50", "latency ratio")
    return _text(
        f"harden bench: {models}",
        _from_first_to_last(result),
        [" ".join(said)],
        table(head, rows),
        _digests(result, *(("model", model) for model in shown), data=result.data),
    )


def _text(
    title: str, sentences: Sequence[str], said: list[str], rows: list[str], digests: list[str]
) -> str:
    """Title, sentences (still to be escaped), measured, table, digests, with empty lines between.

    Args:
        title: short; of known words and numbers.
        sentences: of any number and length.
        said: lines that are Markdown already.
        rows: a table's.
        digests: a list's.
    """
    bullets = [f"- {escaped(one, _LONGEST_SENTENCE)}" for one in sentences[:_SENTENCES_SHOWN]]
    left = len(sentences) - len(bullets)
    if left > 0:
        bullets.append(f"- and {left} more sentences in the JSON file")
    blocks = (["### " + title], bullets, said, rows, digests)
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _not_looked_for(result: ScanResult) -> list[str]:
    said = not_looked_for(result)
    return ["", escaped(f"{said[0].upper()}{said[1:]}.", _LONGEST_SENTENCE)] if said else []


def _suspects(result: ScanResult) -> list[str]:
    """The labels that are called backdoored first, then those whose triggers stand apart most."""
    found = [(row, *_strongest(row)) for row in result.searched]
    ranked = sorted(
        (one for one in found if not one[2].nothing_found),
        key=lambda one: (one[0].label not in result.targets, -one[2].anomaly_index, one[0].label),
    )
    rows = [
        (
            f"label {row.label}, {row.kind}",
            size,
            f"{evidence.relative_size:.2f}",
            f"{evidence.anomaly_index:.1f}",
            percent(evidence.trigger_success_rate),
        )
        for row, size, evidence in ranked[:_LABELS_SHOWN]
    ]
    head = ("smallest trigger", "size", "of median", "anomaly index", "success")
    return table(head, rows) if rows else []


def _strongest(row: LabelEvidence) -> tuple[str, TriggerEvidence]:
    """Size of a label's most suspicious trigger, and what was found of it."""
    return FAMILIES[row.kind].size_shown.format(row.size_of(row.kind)), row.of_kind(row.kind)


def _on_other_images(result: Hardening) -> list[str]:
    if result.accuracy_before is None:
        return []
    return [f"Measured on {result.reported_on} images that nothing was chosen on."]


def _before_and_after(result: Hardening, more: list[tuple[str, str, str]]) -> list[str]:
    if result.accuracy_before is None:
        return []
    rates = before_and_after(result, "attack success, synthetic triggers")
    rows = [(name, percent(before), percent(after)) for name, before, after in rates]
    return table(("measured", "before", "after"), [*rows, *more])


def _digests(
    result: Run,
    *files: tuple[str, ModelIdentity | ModelBench | None],
    data: DataIdentity | None,
) -> list[str]:
    """SHA-256 digests, one line a file, and how they were made."""
    lines = [
        f"- {role} {_name(file.path)}: {digest(file.sha256)}"
        for role, file in files
        if file is not None
    ]
    if data is not None:
        lines.append(f"- images {_name(data.path)}: {digest(data.sha256)}")
    wrote = (result.tool.name, result.tool.version, result.provider)
    name, version, provider = (escaped(word, _LONGEST_WORD) for word in wrote)
    return [*lines, f"- made by {name} {version}, seed {result.seed}, on {provider}"]


def _name(path: str) -> str:
    """A file's name without its folders, which are of one machine."""
    return escaped(path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1], _LONGEST_NAME)


def _from_first_to_last(result: BenchResult) -> list[str]:
    """What changed, in one sentence; none for one model alone."""
    if len(result.models) < 2:
        return []
    first, last = result.models[0], result.models[-1]
    pairs = (
        ("accuracy", first.accuracy, last.accuracy),
        (
            "attack success",
            _highest(first.attack_success_rate),
            _highest(last.attack_success_rate),
        ),
        ("robust accuracy", _lowest(first.robust_accuracy), _lowest(last.robust_accuracy)),
    )
    said = (
        f"{name} {percent(before.value)} → {percent(after.value)}"
        for name, before, after in pairs
        if before is not None and after is not None
    )
    ratio = f"latency {_ratio(last.latency_ratio)} times the first's"
    return [f"from the first model to the last: {', '.join(said)}; {ratio}"]


def _highest(rates: Mapping[str, Rate]) -> Rate | None:
    return max(rates.values(), key=lambda rate: rate.value, default=None)


def _lowest(rates: Mapping[str, Rate]) -> Rate | None:
    return min(rates.values(), key=lambda rate: rate.value, default=None)


def _rate(rate: Rate | None) -> str:
    if rate is None:
        return "not tried"
    return f"{100 * rate.value:.2f} % ({100 * rate.low:.2f}-{100 * rate.high:.2f})"


def _ratio(ratio: Ratio) -> str:
    return f"{ratio.value:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"


def _latency(model: ModelBench) -> str:
    """The median at the first batch size."""
    if not model.latency:
        return "?"
    return f"{model.latency[0].p50_ms:.2f} ms"
