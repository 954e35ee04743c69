"""Every error that leaves the server.

    DispatcherError                 500
      BadRequest                    400
      NotFound                      404
      NotAllowed                    405
      SlowSender                    408
      TooLarge                      413
      BadRange                      416
      Unprocessable                 422
      NothingPublished              425
      Unavailable                   503
        NotServedHere               503
      StartupError                  (not HTTP: the process ends with its text)

The docstring is the default detail. `title` is the short text that clients of the original compare.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

UNSET_ENUM = "ErrorStringEnumUnset"
AGED_OFF_ENUM = "ErrorStringEnumAllEventsAgedOffImmediately"
FILTERED_ENUM = "ErrorStringEnumAllEventsFiltered"
NOT_HERE: Final = "X-Dispatcher-Not-Here"
"""Header by which a dispatcher tells another one that it does not serve a subscriber."""


class DispatcherError(Exception):
    """Something went wrong inside the dispatcher; its log says what."""

    status: ClassVar[int] = 500
    default_title: ClassVar[str] = "internal error"
    headers: ClassVar[Mapping[str, str]] = {}
    """Of the answer, for programs that have to know more than its status."""

    def __init__(self, detail: str = "", *, title: str = "", enum: str = UNSET_ENUM) -> None:
        self.detail = detail or (self.__doc__ or "").strip()
        self.title = title or self.default_title
        self.enum = enum
        super().__init__(self.detail)


class BadRequest(DispatcherError):
    """The request cannot be understood."""

    status = 400
    default_title = "bad request"


class NotFound(DispatcherError):
    """not found"""

    status = 404
    default_title = "not found"


class NotAllowed(DispatcherError):
    """This path exists, but not for this method."""

    status = 405
    default_title = "method not allowed"


class SlowSender(DispatcherError):
    """The rest of the request did not arrive in time."""

    status = 408
    default_title = "request timeout"


class TooLarge(DispatcherError):
    """The body is larger than this server accepts."""

    status = 413
    default_title = "too large"


class BadRange(DispatcherError):
    """The range starts past the end of the object."""

    status = 416
    default_title = "invalid range end"


class Unprocessable(DispatcherError):
    """The request is well formed but its content is not valid."""

    status = 422
    default_title = "bad parameters"


class NothingPublished(DispatcherError):
    """All events to be published have been filtered out"""

    status = 425
    default_title = "All events to be published have been filtered out"


class Unavailable(DispatcherError):
    """Not possible right now; try again."""

    status = 503
    default_title = "unavailable"


class NotServedHere(Unavailable):
    """No dispatcher serves this subscriber right now; try again."""

    headers: ClassVar[Mapping[str, str]] = {NOT_HERE: "1"}

    def __init__(self, slot: int) -> None:
        super().__init__()
        self.slot = slot


class StartupError(Exception):
    """The server cannot start; the text says what to change."""
