"""Options that several commands share."""

import os

import click

from dispatcher.cli.environment import loaded_settings
from dispatcher.settings import Settings

_HERE = ("127.0.0.1", "0.0.0.0", "::1", "::")


def local_url(settings: Settings) -> str:
    """Where a client on this machine reaches a server with these settings."""
    host = "localhost" if settings.host in _HERE else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _default_server() -> str:
    return local_url(loaded_settings(os.environ).settings)


server_option = click.option(
    "--server",
    default=_default_server,
    envvar="DISPATCHER_URL",
    show_default="where `dispatcher serve` would listen",
    help="Address of the dispatcher [env: DISPATCHER_URL].",
)
