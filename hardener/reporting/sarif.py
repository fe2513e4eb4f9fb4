"""A scan as SARIF 2.1.0, the format in which code scanning services take findings.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0, 2020.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hardener.documents.scan import GRAPH_LOGIC, ScanResult
from hardener.exit_codes import OF_A_VERDICT
from hardener.reporting.plain_text import one_line

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_EXIT_CODES_SAY = {
    "clean": "no backdoor found",
    "backdoored": "backdoor found",
    "inconclusive": "inconclusive: never to be read as clean",
}


@dataclass(frozen=True)
class _Rule:
    id: str
    name: str
    level: str
    short: str
    full: str


BACKDOORED_LABEL = _Rule(
    "HARDEN001",
    "BackdooredLabel",
    "error",
    "A label answers to a hidden trigger.",
    "Images of other classes go to this label once a small trigger is on them, or the network's "
    "own weights favour it far beyond all others. Do not ship the model: repair it, and scan the "
    "repaired one.",
)
ALL_TO_ALL = _Rule(
    "HARDEN002",
    "AllToAllBackdoor",
    "error",
    "A trigger exchanges labels for one another.",
    "A small square, a faint change or a slight warp gives most images another label and spreads "
    "them over many, as an attack from all labels to all does. Do not ship the model: repair it, "
    "and scan the repaired one.",
)
INCONCLUSIVE_SCAN = _Rule(
    "HARDEN003",
    "InconclusiveScan",
    "warning",
    "The scan cannot say whether the model is clean.",
    "Evidence is missing or contradicts itself. An inconclusive scan is never to be read as clean: "
    "mend what the message names and scan again.",
)
SKIPPED_EVIDENCE = _Rule(
    "HARDEN004",
    "SkippedEvidence",
    "note",
    "A part of the evidence was not looked at.",
    "The verdict rests on the other parts alone.",
)
WRITTEN_LOGIC = _Rule(
    "HARDEN005",
    "GraphLogic",
    "error",
    "Logic in the graph overrides what the network saw.",
    "The graph computes a value from the pixels that is the same for every clean image, and that "
    "changes the label of most images once it is another. Do not ship the model: harden repair "
    "takes it out.",
)
RULES = (BACKDOORED_LABEL, ALL_TO_ALL, INCONCLUSIVE_SCAN, SKIPPED_EVIDENCE, WRITTEN_LOGIC)


def sarif(result: ScanResult, root: Path | None = None) -> str:
    """A scan as an indented SARIF 2.1.0 log of one run.

    A clean scan has no results, any other at least one. The same scan gives the same text.

    Args:
        result: the scan.
        root: folder that the model's location is told from, the checkout's; by default the one
            that a relative path of the model begins at. Of a model outside it the file's name
            alone is told.
    """
    skipped = dict(_skipped(result))
    findings = _findings(result, skipped)
    invocation: dict[str, Any] = {
        "executionSuccessful": True,
        "exitCode": OF_A_VERDICT[result.verdict],
        "exitCodeDescription": _EXIT_CODES_SAY[result.verdict],
        **_end_time(result.created),
    }
    if not findings:
        invocation["toolExecutionNotifications"] = [
            {
                "descriptor": {"id": SKIPPED_EVIDENCE.id},
                "level": SKIPPED_EVIDENCE.level,
                "message": {"text": _message(sentence)},
            }
            for sentence in skipped.values()
        ]
    location = {"uri": _relative_uri(result.model.path, root), "uriBaseId": "%SRCROOT%"}
    run = {
        "tool": {
            "driver": {
                "name": result.tool.name,
                "version": result.tool.version,
                "rules": [_descriptor(rule) for rule in RULES],
                "notifications": [_descriptor(SKIPPED_EVIDENCE)],
            }
        },
        "invocations": [invocation],
        "artifacts": [
            {
                "location": location,
                "roles": ["analysisTarget"],
                "hashes": {"sha-256": result.model.sha256},
            }
        ],
        "results": [
            _result(result, location, rule, subject, sentence)
            for rule, subject, sentence in findings
        ],
        "properties": {
            "verdict": result.verdict,
            "score": result.score,
            "targets": list(result.targets),
            "seed": result.seed,
            "provider": result.provider,
            "reasons": list(result.reasons),
        },
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _findings(result: ScanResult, skipped: dict[str, str]) -> list[tuple[_Rule, str, str]]:
    """Rule, what it is about, and sentences of every finding."""
    if result.verdict == "clean":
        return []
    because = "; ".join(result.reasons)
    missing = [(SKIPPED_EVIDENCE, subject, said) for subject, said in skipped.items()]
    if result.verdict == "inconclusive":
        suspected = ", ".join(map(str, result.targets))
        said = f"The scan is inconclusive{f', label {suspected} suspected' * bool(suspected)}"
        return [(INCONCLUSIVE_SCAN, "", f"{said}: {because}"), *missing]
    found = [
        (BACKDOORED_LABEL, str(label), f"Label {label} answers to a hidden trigger: {because}")
        for label in result.targets
    ]
    overridden = any(
        one.detector == GRAPH_LOGIC and one.verdict == "backdoored" for one in result.findings
    )
    if not result.targets and overridden:
        found = [(WRITTEN_LOGIC, "", f"Logic in the graph overrides the network: {because}")]
    elif not result.targets:
        found = [(ALL_TO_ALL, "", f"A trigger exchanges labels for one another: {because}")]
    return found + missing


def _skipped(result: ScanResult) -> Iterator[tuple[str, str]]:
    """What was not looked at: a name that stays, and a sentence."""
    if result.data is None:
        yield "images", "There were no images: no trigger was searched, no accuracy measured"
    elif result.data.unreadable:
        yield "pictures", f"{len(result.data.unreadable)} pictures are unreadable and left out"
    if result.data is not None and result.moving is None:
        yield "squares", "No square that exchanges labels was measured"
    if result.margins is None:
        yield "margins", "The margins of the labels were not measured"
    if result.last_layer is None:
        yield "last-layer", "The last layer's weights were not looked at"
    screened = len(result.labels) - len(result.searched)
    if screened:
        yield "labels", f"{screened} of {len(result.labels)} labels were screened, not searched"


def _result(
    result: ScanResult, location: dict[str, str], rule: _Rule, subject: str, sentence: str
) -> dict[str, Any]:
    print_of = hashlib.sha256(f"{rule.id}\n{result.model.sha256}\n{subject}".encode()).hexdigest()
    about = {"label": int(subject)} if rule is BACKDOORED_LABEL else {}
    rank = {"rank": round(100 * result.score, 2)} if rule.level == "error" else {}
    return {
        "ruleId": rule.id,
        "ruleIndex": RULES.index(rule),
        "level": rule.level,
        "message": {"text": _message(sentence)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": location | {"index": 0},
                    # A model has no lines, but code scanning takes no result without one.
                    "region": {"startLine": 1},
                }
            }
        ],
        # Code scanning knows a result again by the first of these alone.
        "partialFingerprints": {
            "primaryLocationLineHash": print_of,
            "hardenerFinding/v1": print_of,
        },
        **rank,
        "properties": {
            **about,
            "verdict": result.verdict,
            "score": result.score,
            "seed": result.seed,
            "accuracy": result.accuracy,
        },
    }


def _descriptor(rule: _Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.short},
        "fullDescription": {"text": rule.full},
        "defaultConfiguration": {"level": rule.level},
    }


def _message(sentence: str) -> str:
    """Plain text in which nothing is a link (`[...](...)`) or a placeholder (`{0}`)."""
    plain = one_line(sentence).replace("](", "] (").replace("{", "{{").replace("}", "}}")
    return plain if plain.endswith(".") else plain + "."


def _relative_uri(path: str, root: Path | None) -> str:
    place = Path(path)
    if root is not None:
        place = root / place
        place = place.relative_to(root) if place.is_relative_to(root) else Path(place.name)
    elif place.is_absolute():
        place = Path(place.name)
    # Not every reader takes a step upwards, and what is above the root is no one's business.
    if ".." in place.parts:
        place = Path(place.name)
    return quote(place.as_posix(), safe="/")


def _end_time(created: str) -> dict[str, str]:
    try:
        when = datetime.fromisoformat(created).astimezone(UTC)
    except (ValueError, OverflowError):
        return {}
    return {"endTimeUtc": when.strftime("%Y-%m-%dT%H:%M:%SZ")}
