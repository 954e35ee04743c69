"""Every error of the SDK.

    SdkError
      DefinitionError       a plugin is declared wrongly; the text says the cure
      OutputError           a plugin handed out something that cannot be published   error-output
      JobEnded              raised by a plugin to end its job with a status of its own
        InputError          the file cannot be analysed                              error-input
        NetworkError        a service the plugin needs cannot be reached             error-network
        OptOut              the plugin has nothing to say of this file               opt-out
        RetryLater          give this job out again, not before `after` seconds      no status
      DispatcherError       talking to the dispatcher failed
        Unavailable         for now: away, overloaded, restarting
        Refused             for good: the same request will be refused again
        BadReply            the answer is not what the protocol promises
      WorkerFailed          a worker process did not become ready

The docstring is the default message.
"""

from typing import ClassVar


class SdkError(Exception):
    """Something went wrong in the plugin SDK."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class DefinitionError(SdkError, TypeError):
    """The plugin is declared wrongly."""


class OutputError(SdkError, ValueError):
    """The plugin handed out something that cannot be published."""


class JobEnded(SdkError):
    """The job ends here."""

    status: ClassVar[str] = "error-exception"


class InputError(JobEnded):
    """The file cannot be analysed."""

    status = "error-input"


class NetworkError(JobEnded):
    """A service that the plugin needs cannot be reached."""

    status = "error-network"


class OptOut(JobEnded):
    """The plugin has nothing to say of this file."""

    status = "opt-out"


class RetryLater(JobEnded):
    """This job is to be given out again later. `after` in seconds."""

    status = "retry-later"

    def __init__(self, message: str = "", *, after: float = 60.0) -> None:
        super().__init__(message)
        self.after = max(0.0, after)


class DispatcherError(SdkError):
    """Talking to the dispatcher failed."""


class Unavailable(DispatcherError):
    """The dispatcher cannot answer now. `retry_after` in seconds, when it said so."""

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(DispatcherError):
    """The dispatcher refused the request. `status` is the HTTP status."""

    def __init__(self, message: str = "", *, status: int) -> None:
        super().__init__(message)
        self.status = status


class BadReply(DispatcherError):
    """The dispatcher's answer is not what the protocol promises."""


class WorkerFailed(SdkError):
    """A worker process did not become ready."""

    by_signal: bool = False
    """It was killed before it was ready."""
