"""Options that several commands share."""

import click

server_option = click.option(
    "--server", default="http://localhost:8111", show_default=True, help="Address of the dispatcher."
)
