import numpy as np
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, images

from hardener.cores import available_cores
from hardener.errors import ModelError, ProviderError
from hardener.model.runtime import choose_provider, open_runner


def test_the_cpu_is_always_there_and_uses_every_core() -> None:
    assert choose_provider("cpu") == "cpu"
    runner = open_runner(classifier(PLAIN, dict(PLAIN_SHAPES)), "cpu")
    assert runner.provider == "cpu"
    assert runner.threads == available_cores()


def test_auto_takes_what_works() -> None:
    try:
        best = choose_provider("cuda")
    except ProviderError:
        best = "cpu"
    assert choose_provider("auto") == best


def test_an_unknown_provider_is_named() -> None:
    with pytest.raises(ProviderError, match="no provider 'abacus'"):
        choose_provider("abacus")


def test_input_that_does_not_fit_is_one_line() -> None:
    runner = open_runner(classifier(PLAIN, dict(PLAIN_SHAPES)), "cpu")
    with pytest.raises(ModelError, match="onnxruntime stopped") as caught:
        runner.run({"x": images()[:, :2]})
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
def test_cuda_gives_the_cpus_logits() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    assert choose_provider("auto") == "cuda"
    found, expected = (open_runner(model, p).run({"x": images()})[0] for p in ("cuda", "cpu"))
    np.testing.assert_allclose(found, expected, atol=1e-3)
