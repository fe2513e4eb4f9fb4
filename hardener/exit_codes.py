"""What a command's exit code says, as the contract has it."""

DONE, BAD_NEWS, FAILED, INCONCLUSIVE = 0, 1, 2, 3

OF_A_VERDICT = {"clean": DONE, "backdoored": BAD_NEWS, "inconclusive": INCONCLUSIVE}
"""Of `harden scan`."""

OF_AN_OUTCOME = {
    "written": DONE,
    "planned": DONE,
    "nothing-found": DONE,
    "no-gain": BAD_NEWS,
    "over-budget": BAD_NEWS,
    "attack-left": BAD_NEWS,
    "inconclusive": INCONCLUSIVE,
}
"""Of `harden prune` and `harden repair`."""
