from hardener.progress import counting, of_whole


def test_the_whole_goes_by_what_each_stage_costs() -> None:
    told: list[tuple[str, int, int]] = []

    def listen(stage: str, done: int, total: int) -> None:
        told.append((stage, done, total))

    progress = of_whole(listen, "all", {"short": 10, "long": 90})
    counting(progress, "short", 2)(1)
    counting(progress, "another", 1)(1)
    counting(progress, "long", 3)(3)
    whole = [row for row in told if row[0] == "all"]
    assert whole == [("all", 0, 100), ("all", 5, 100), ("all", 5, 100), ("all", 95, 100)]
    assert ("short", 1, 2) in told
    assert ("another", 1, 1) in told
