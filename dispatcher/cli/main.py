"""The `dispatcher` command."""

import click

from dispatcher.cli.demo.command import demo
from dispatcher.cli.filetype import filetype
from dispatcher.cli.hooks import hooks
from dispatcher.cli.lost_tasks import lost_tasks
from dispatcher.cli.reprocess import reprocess
from dispatcher.cli.serve import serve
from dispatcher.cli.settings import settings
from dispatcher.cli.submit import submit
from dispatcher.cli.topics import topics
from dispatcher.cli.watch import watch


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="azul-dispatcher", prog_name="dispatcher")
@click.pass_context
def main(context: click.Context) -> None:
    """The hub of a malware-analysis system: takes files and events, hands them to plugins, loses nothing.

    Without a command it runs the server.

    \b
    Examples:
      dispatcher                               the server, on http://localhost:8111
      dispatcher submit /usr/bin --source mine upload a folder
      dispatcher watch                         see what moves
    """
    if context.invoked_subcommand is None:
        context.invoke(serve)


for command in (serve, submit, watch, filetype, settings, hooks, topics, reprocess, demo, lost_tasks):
    main.add_command(command)

if __name__ == "__main__":
    main()
