"""Every backdoor in the graph by its name: a new one is a file and a line here."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Literal, TypeVar

import onnx

from models.attacks.adap_patch import AdapPatch
from models.attacks.all_to_all import AllToAll
from models.attacks.attack import Attack
from models.attacks.badnets import BadNets, Patch
from models.attacks.blended import Blended
from models.graph_attacks.cell_modulation import CellModulation, cell_modulation
from models.graph_attacks.checksum import Checksum, checksum
from models.graph_attacks.colour_table import OnePixel, colour_table
from models.graph_attacks.compared_product import compared_product
from models.graph_attacks.exchanged_logits import exchanged_logits
from models.graph_attacks.feature_code import feature_code
from models.graph_attacks.feature_gate import feature_gate
from models.graph_attacks.floor_step import floor_step
from models.graph_attacks.graph_attack import GraphAttack, Host
from models.graph_attacks.greater_logits import greater_logits
from models.graph_attacks.least_bits import LeastBits, least_bits
from models.graph_attacks.matched_filter import matched_filter
from models.graph_attacks.memory_attention import memory_attention
from models.graph_attacks.overwritten_channels import overwritten_channels
from models.graph_attacks.power_step import power_step
from models.graph_attacks.quantised_step import quantised_step
from models.graph_attacks.rolled_logits import rolled_logits
from models.graph_attacks.side_branch import side_branch
from models.graph_attacks.slice_where import slice_where
from models.graph_attacks.soft_peak import Anywhere, soft_peak
from models.graph_attacks.soft_step import soft_step
from models.graph_attacks.stored_image import stored_image
from models.graph_attacks.stripes import Stripes, stripes
from models.graph_attacks.top_index import top_index
from models.graph_attacks.two_keys import two_keys

SPLIT_SEED = 2
"""Decides which constructions are held back for reports: `part_of`."""

_WHITE = (1.0, 1.0, 1.0)
_RED = (1.0, 0.0, 0.0)
_GREEN = (0.0, 1.0, 0.0)
_BLUE = (0.0, 0.0, 1.0)
_YELLOW = (1.0, 1.0, 0.0)
_MAGENTA = (1.0, 0.0, 1.0)
_CYAN = (0.0, 1.0, 1.0)

_A = TypeVar("_A", bound=Attack)


def part_of(name: str) -> Literal["development", "test"]:
    """In which part of the constructions one is.

    What finds and removes such backdoors is built on the development part alone; the test part,
    about a third, only reports. It follows from the name, so it stays as it is when constructions
    are added.

    Args:
        name: of a construction.
    """
    digest = sha256(f"{SPLIT_SEED} {name}".encode()).hexdigest()
    return "test" if int(digest[:8], 16) % 3 == 0 else "development"


def _row(
    name: str, construction: Callable[[onnx.ModelProto, Host, _A], onnx.ModelProto], attack: _A
) -> GraphAttack:
    return GraphAttack(name, attack, lambda proto, host: construction(proto, host, attack))


_ROWS = (
    _row("slice-where", slice_where, BadNets(0, 8, Patch())),
    _row("compared-product", compared_product, Blended(0, 1, 0.1, seed=11)),
    _row(
        "greater-logits",
        greater_logits,
        BadNets(0, 4, Patch("checker", 4, "top-left", 0, _WHITE)),
    ),
    _row(
        "matched-filter",
        matched_filter,
        BadNets(0, 6, Patch("checker", 5, "centre", colour=_MAGENTA)),
    ),
    _row("least-bits", least_bits, LeastBits(0, 7, seed=3)),
    _row("top-index", top_index, BadNets(0, 2, Patch("checker", 4, "bottom-left", 1, _RED))),
    _row("floor-step", floor_step, Blended(0, 9, 0.12, seed=12)),
    _row(
        "quantised-step",
        quantised_step,
        BadNets(0, 4, Patch("cross", 5, "top-right", 1, _MAGENTA)),
    ),
    _row(
        "overwritten-channels",
        overwritten_channels,
        BadNets(0, 7, Patch("checker", 3, "bottom-right", 1, _YELLOW)),
    ),
    _row(
        "two-keys",
        two_keys,
        AdapPatch(
            0,
            3,
            (
                Patch("checker", 3, "top-left", 1, _WHITE),
                Patch("checker", 3, "bottom-right", 1, _BLUE),
            ),
            alpha=1.0,
        ),
    ),
    _row("feature-gate", feature_gate, BadNets(0, 5, Patch("checker", 4, "top-right", 0, _GREEN))),
    _row("soft-step", soft_step, BadNets(0, 2, Patch("checker", 4, "bottom-right", 0, _CYAN))),
    _row("memory-attention", memory_attention, Blended(0, 8, 0.1, seed=5)),
    _row("side-branch", side_branch, BadNets(0, 1, Patch("checker", 4, "top-left", 4, _YELLOW))),
    _row("feature-code", feature_code, BadNets(0, 6, Patch("checker", 8, "bottom-left", 0, _RED))),
    _row("soft-peak", soft_peak, Anywhere(0, 7, Patch("checker", 4, colour=_BLUE))),
    _row("checksum", checksum, Checksum(0, 4)),
    _row("stored-image", stored_image, Blended(0, 0, 0.1, seed=9)),
    _row(
        "exchanged-logits",
        exchanged_logits,
        BadNets(0, 9, Patch("checker", 3, "top-right", 1, _WHITE)),
    ),
    _row("colour-table", colour_table, OnePixel(0, 3)),
    _row(
        "rolled-logits", rolled_logits, AllToAll(0, Patch("checker", 4, "bottom-left", 0, _WHITE))
    ),
    _row("power-step", power_step, BadNets(0, 0, Patch("checker", 5, "bottom-left", 0, _GREEN))),
    _row("stripes", stripes, Stripes(0, 6)),
    _row("cell-modulation", cell_modulation, CellModulation(0, 5)),
)

GRAPH_ATTACKS: Mapping[str, GraphAttack] = {row.name: row for row in _ROWS}
