"""The table of searches, one a family of triggers, in the order of `FAMILIES`."""

from collections.abc import Mapping

from hardener.scanning.searches.additive import ADDITIVE_SEARCH
from hardener.scanning.searches.family_search import FamilySearch
from hardener.scanning.searches.patches import PATCH_SEARCH
from hardener.scanning.searches.warps import WARP_SEARCH
from hardener.triggers.family import TriggerKind

SEARCHES: Mapping[TriggerKind, FamilySearch] = {
    search.family.name: search for search in (PATCH_SEARCH, ADDITIVE_SEARCH, WARP_SEARCH)
}
