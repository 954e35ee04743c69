"""`dispatcher lost-tasks`: a job of the original that charts still start."""

import signal

import click


@click.command("lost-tasks")
def lost_tasks() -> None:
    """Do nothing until stopped: the server looks after lost tasks itself.

    The original ran this beside its server. It is accepted so that existing charts start.
    """
    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    click.echo("The dispatcher hands lost tasks out again by itself; this waits until it is stopped.")
    signal.sigwait(stop)
