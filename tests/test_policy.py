from pathlib import Path

import pytest

from hardener.errors import UsageError
from hardener.policy import Policy, read_policy


def test_preprocessing_is_read(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("[preprocessing]\nsize = [32, 24]\nmean = 0.5\n")
    assert read_policy(tmp_path / "p.toml").preprocessing.given() == {
        "size": (32.0, 24.0),
        "mean": (0.5,),
    }


def test_harden_toml_is_found_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_policy(None) == Policy()
    (tmp_path / "harden.toml").write_text("[preprocessing]\nstd = [0.5]\n")
    assert read_policy(None).preprocessing.given() == {"std": (0.5,)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is no TOML"),
        ("[gates]\n", r"unknown section \[gates\]"),
        ("[preprocessing]\nmaen = 1\n", "unknown key 'maen'"),
        ("[preprocessing]\nmean = 'x'\n", "mean is a number"),
        ("[preprocessing]\nmean = [1, true]\n", "mean is a number or a list of numbers"),
        ("[preprocessing]\nmean = []\n", "mean is a number"),
        ("[preprocessing]\nmean = nan\nwidth = 3\n", "unknown key 'width'"),
        ("[preprocessing]\nstd = [1, inf]\n", "std is not finite"),
        (f"[preprocessing]\nsize = 1{'0' * 400}\n", "size is too large"),
        ("preprocessing = 3\n", "is a table with size, mean, std"),
    ],
)
def test_bad_policies(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_policy(tmp_path / "p.toml")


def test_a_missing_policy_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml cannot be read"):
        read_policy(tmp_path / "none.toml")
