"""The command line: one file per command, and what becomes of their errors."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from lcp_tvm.cli.compile import compile_command
from lcp_tvm.cli.demo import demo_command
from lcp_tvm.cli.dump import dump_command
from lcp_tvm.cli.options import Debug, debug_option
from lcp_tvm.cli.report import report_command
from lcp_tvm.cli.run import run_command
from lcp_tvm.cli.worker import worker_command
from lcp_tvm.errors import LcpError

USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
PROGRAM = "lcp-tvm"


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with 'lcp-tvm demo', or 'lcp-tvm compile MODEL.onnx -o NET.lcp'.",
)
@click.version_option(package_name="lcp-tvm", prog_name=PROGRAM)
@debug_option
def cli() -> None:
    """Compile a neural network for small boards with a VTA accelerator, and run it there."""


for _command in (
    compile_command,
    run_command,
    report_command,
    dump_command,
    worker_command,
    demo_command,
):
    cli.add_command(_command)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    The exit status: 0, 2 for what a user can put right (told in one line on stderr), 130 after
    Ctrl-C. Anything else that goes wrong is our defect and raises.
    """
    debug = Debug()
    try:
        result = cli.main(args, prog_name=PROGRAM, standalone_mode=False, obj=debug)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{PROGRAM}: interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return USER_ERROR
    except LcpError as error:
        if debug.wanted:
            traceback.print_exc()
        else:
            click.echo(f"{PROGRAM}: {' '.join(str(error).split())}", err=True)
        return USER_ERROR
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from flushing it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
