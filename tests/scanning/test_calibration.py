import numpy as np

from hardener.scanning.calibration import Curve, fit_curve, shipped


def test_a_curve_is_even_where_it_says_and_falls() -> None:
    scores = Curve(even=0.3, slope=4)(np.array([0.1, 0.3, 0.9], np.float32))
    np.testing.assert_allclose(scores, [0.987805, 0.5, 0.012195], atol=1e-5)


def test_a_fitted_curve_parts_victims_from_clean_models() -> None:
    rng = np.random.default_rng(0)
    clean = rng.uniform(0.5, 1.0, (20, 43))
    victims = rng.uniform(0.5, 1.0, (10, 43))
    victims[:, 8] = rng.uniform(0.1, 0.2, 10)
    quantities = np.concatenate([clean, victims]).astype(np.float32)
    curve = fit_curve(quantities, np.ones_like(quantities), np.repeat([0, 1], [20, 10]))
    scores = curve(quantities).max(axis=1)
    assert scores[:20].max() < 0.4
    assert scores[20:].min() > 0.6


def test_what_is_multiplied_by_nothing_counts_for_nothing() -> None:
    quantities = np.array([[0.9, 0.01], [0.9, 0.1], [0.8, 0.01]], np.float32)
    factors = np.array([[1, 0], [1, 1], [1, 0]], np.float32)
    curve = fit_curve(quantities, factors, np.array([0, 1, 0]))
    assert 0.1 < curve.even < 0.9


def test_the_shipped_calibration_has_thresholds_in_order() -> None:
    calibration = shipped()
    assert 0 < calibration.clean_below < calibration.backdoored_from < 1
    assert set(calibration.kinds) == {"patch", "additive", "warp"}
