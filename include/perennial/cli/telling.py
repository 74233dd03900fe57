"""The command that tells whoever has to know, and shows what it would say."""

from typing import Annotated

import typer

from perennial.cli import asking
from perennial.cli.printing import Model, as_logged, out, speaks_plainly
from perennial.errors import ChannelUnavailable

app = typer.Typer()


@app.command()
@speaks_plainly
def notify(
    model: Model,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be sent, and send nothing.")] = False,
) -> None:
    """Tell the channels of `notify` in model.yaml what is new and what is over; what was told is not told again."""
    from perennial.notifying import channels_of, pending
    from perennial.notifying import notify as told_of

    case = asking.case(model)
    case.prepare()
    channels = channels_of(case.config.notify, case.settings)
    if dry_run:
        for channel, text in pending(case.config, store=case.store, channels=channels, now=asking.now()):
            out.print(f"[bold]{channel}[/bold]: {as_logged(text.title)}", soft_wrap=True)
            for line in text.body.splitlines():
                out.print(f"  {as_logged(line)}", highlight=False, soft_wrap=True)
        return
    done = told_of(case.config, store=case.store, channels=channels, now=asking.now())
    for title in done.sent:
        out.print(f"told: {as_logged(title)}", soft_wrap=True)
    for title in done.unrouted:
        out.print(f"[yellow]no channel[/yellow] for {as_logged(title)}", soft_wrap=True)
    if done.n_quiet:
        out.print(f"{done.n_quiet} messages wait for the end of quiet hours")
    if done.failed:
        raise ChannelUnavailable("; ".join(why for _, why in done.failed))
