"""Every status that the server answers with is explained."""

from pathlib import Path

import pytest

from dispatcher import errors

PAGE = (Path(__file__).parents[2] / "docs/reference/errors.md").read_text()
STATUSES = sorted(
    {
        error.status
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.DispatcherError)
    }
)


@pytest.mark.parametrize("status", STATUSES)
def test_the_page_has_this_status(status: int) -> None:
    assert f"\n| {status} |" in PAGE
