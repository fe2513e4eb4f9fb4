"""The committed schemas are what the models give, and say what is written."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.scans import some_scan

from hardener.documents.scan import ScanResult
from hardener.documents.schemas.generating import DIALECT, DOCUMENTS, generated
from hardener.documents.schemas.shipped import schema, schema_names, schema_text


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_committed_file_is_what_the_models_give(name: str) -> None:
    assert schema_text(name) == generated(name), (
        "run python -m hardener.documents.schemas.generating"
    )


def test_no_other_file_is_shipped() -> None:
    assert schema_names() == tuple(sorted(DOCUMENTS))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_it_is_a_schema_that_names_itself(name: str) -> None:
    found = schema(name)
    Draft202012Validator.check_schema(found)
    assert found["$schema"] == DIALECT
    assert found["$id"] == f"urn:hardener:schema:{name}:1"
    assert found["title"] == DOCUMENTS[name].__name__
    assert found["description"]
    assert "Attributes" not in found["description"]
    assert set(found["required"]) == set(DOCUMENTS[name].model_fields)


def test_fields_are_described_in_the_words_of_the_docstrings() -> None:
    row = schema("scan")["$defs"]["LabelEvidence"]["properties"]
    assert row["mask_l1"]["description"] == "Size of the smallest patch, in pixels."
    assert row["trigger_success_rate"]["description"].endswith(
        "that the trigger sends to this label."
    )
    threads = schema("prune")["properties"]["threads"]["description"]
    assert threads == "Threads of one operator on the CPU."


def _changed(**changes: object) -> dict[str, Any]:
    document: dict[str, Any] = some_scan().model_dump(mode="json")
    return document | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "fine"},
        {"schema_version": 2},
        {"score": "0.9"},
        {"more": 1},
        {"labels": [{"label": 1, "searched": True, "screening_rank": 1}]},
        {"preprocessing": {"size": [1, 2, 3], "mean": [0.0], "std": [1.0]}},
    ],
)
def test_what_is_no_scan_does_not_validate(changes: dict[str, object]) -> None:
    validator = Draft202012Validator(schema("scan"))
    assert validator.is_valid(_changed())
    assert not validator.is_valid(_changed(**changes))


def test_a_screened_label_validates() -> None:
    rows = [*_changed()["labels"], {"label": 9, "searched": False, "screening_rank": 4}]
    document = ScanResult.model_validate(_changed(labels=rows)).model_dump(mode="json")
    Draft202012Validator(schema("scan")).validate(document)
