"""Schemas that others publish."""

import json
from pathlib import Path

from jsonschema import Draft4Validator

_SARIF = Path(__file__).resolve().parent.parent / "standards" / "sarif-2.1.0-rtm.5.json"


def validate_sarif(log: object) -> None:
    """Compares a SARIF 2.1.0 log with the standard's schema."""
    Draft4Validator(json.loads(_SARIF.read_text(encoding="utf-8"))).validate(log)
