from pathlib import Path

import pytest
import torch

from hardener.errors import DataError, UsageError
from models.stamping import attack_of


def test_a_name_is_enough_to_stamp_and_to_know_the_wanted_labels(tmp_path: Path) -> None:
    attack = attack_of("vgg-gtsrb-all-to-all", tmp_path)
    assert attack is not None
    assert attack.stamp(torch.zeros(1, 3, 32, 32)).sum() > 0
    assert attack.wanted(torch.tensor([0, 42])).tolist() == [1, 0]
    assert attack_of("vgg-gtsrb-vanilla", tmp_path) is None


def test_unknown_names_and_missing_triggers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose one of"):
        attack_of("vgg", tmp_path)
    with pytest.raises(DataError, match=r"trojaning\.trigger\.npz does not exist"):
        attack_of("vgg-gtsrb-trojaning", tmp_path)
