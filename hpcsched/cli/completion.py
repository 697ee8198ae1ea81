"""``hpc completion``: scripts that let shells complete verbs and options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hpcsched.cli.verbs import Verb, pass_app

if TYPE_CHECKING:
    from hpcsched.cli.app import App


@click.command("completion", cls=Verb)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_app
def completion(app: App, shell: str) -> None:
    """Print a script for a shell that completes verbs and options.

    \b
      bash:  hpc completion bash > ~/.local/share/bash-completion/completions/hpc
      zsh:   hpc completion zsh  > "${fpath[1]}/_hpc"
      fish:  hpc completion fish > ~/.config/fish/completions/hpc.fish
    """
    from click.shell_completion import get_completion_class

    from hpcsched.cli.root import COMPLETION_VARIABLE, root

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"there is no completion for {shell}")
    script = kind(root, {}, "hpc", COMPLETION_VARIABLE)
    # The template itself: ``source`` would start a shell to look at its version.
    app.print(script.source_template % script.source_vars())
