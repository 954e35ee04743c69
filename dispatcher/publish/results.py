"""A completed status becomes real: its embedded results turn into events of their own (wire contract 4.1, step 3)."""

from dispatcher_sdk.models import COMPLETED, BinaryEvent, BinaryFlags, StatusEvent


def take_results(status: StatusEvent) -> list[BinaryEvent]:
    """Results of a completed status, taken out of it; other statuses keep theirs embedded.

    Results are as urgent as the event they come from, but nobody asked for a retry of them.
    """
    if status.entity.status not in COMPLETED:
        return []
    flags = status.entity.input.flags
    results, status.entity.results = status.entity.results, []
    for result in results:
        result.flags = BinaryFlags(expedite=flags.expedite, bypass_cache=flags.bypass_cache)
    return results
