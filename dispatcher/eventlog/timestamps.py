"""Record timestamps: the clock's time, made to grow within a partition so that it can be searched."""

DAY_MS = 86_400_000


def stamp(last_ms: int, now_ms: int) -> int:
    """The timestamp of a record that follows one of `last_ms`: never earlier, even when the clock steps back.

    A clock that was more than a day ahead and has been put right is believed again at once; otherwise one
    wrong moment would date every later record.
    """
    return now_ms if last_ms - now_ms > DAY_MS else max(last_ms, now_ms)
