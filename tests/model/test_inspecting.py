import json
from pathlib import Path

import onnx
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, classifier

from hardener.documents.inspection import Inspection
from hardener.model.files import PREPROCESSING_KEY
from hardener.model.inspecting import inspect


@pytest.mark.parametrize(
    ("size", "told"), [([8.0, 8.0], "[8, 8]"), ([8], "[8]"), ([8.5, 8], "[8.5, 8.0]")]
)
def test_a_size_is_told_in_whole_numbers_where_it_is_one(
    tmp_path: Path, size: list[float], told: str
) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    preprocessing = json.dumps({"size": size, "mean": [0], "std": [1]})
    onnx.helper.set_model_props(model, {PREPROCESSING_KEY: preprocessing})
    onnx.save_model(model, tmp_path / "m.onnx")
    found = inspect(tmp_path / "m.onnx")
    text = json.dumps(json.loads(found.to_json())["preprocessing"])
    assert text == f'{{"size": {told}, "mean": [0.0], "std": [1.0]}}'
    assert Inspection.model_validate_json(found.to_json()) == found
