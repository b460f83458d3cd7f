"""The command line: one file per command, and what becomes of their errors."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import click

from lcp_tvm.cli.bench import bench_command
from lcp_tvm.cli.board import board_command
from lcp_tvm.cli.board_hosts import deploy_command, probe_command, program_command
from lcp_tvm.cli.camera import camera_command
from lcp_tvm.cli.compare import compare_command
from lcp_tvm.cli.compile import compile_command
from lcp_tvm.cli.demo import demo_command
from lcp_tvm.cli.dump import dump_command
from lcp_tvm.cli.options import Debug, debug_option
from lcp_tvm.cli.output import INTERRUPTED
from lcp_tvm.cli.predict import predict_command
from lcp_tvm.cli.report import report_command
from lcp_tvm.cli.run import run_command
from lcp_tvm.cli.tracker import tracker_command
from lcp_tvm.cli.train import train_command
from lcp_tvm.cli.tune import tune_command
from lcp_tvm.cli.worker import worker_command
from lcp_tvm.errors import LcpError

USER_ERROR = 2
PROGRAM = "lcp-tvm"

REFUSED_BY_THE_SYSTEM = frozenset(
    (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR,
     errno.ENOSPC, errno.EDQUOT, errno.EIO)
)  # fmt: skip
"""What files may be refused for wherever they are touched."""


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
    train_command,
    compare_command,
    run_command,
    report_command,
    tune_command,
    predict_command,
    bench_command,
    dump_command,
    worker_command,
    tracker_command,
    board_command,
    demo_command,
    camera_command,
):
    cli.add_command(_command)
for _command in (deploy_command, program_command, probe_command):
    board_command.add_command(_command)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    The exit status: 0, 2 for what a user can put right (told in one line on stderr), 130 after
    Ctrl-C. Anything else that goes wrong is our defect and raises.
    """
    debug = Debug()
    with _noticed_interrupts() as interrupts:
        try:
            result = cli.main(args, prog_name=PROGRAM, standalone_mode=False, obj=debug)
            sys.stdout.flush()
            return result if isinstance(result, int) else 0
        except click.exceptions.Exit as end:
            return end.exit_code
        except BrokenPipeError:
            # Whoever read our output has seen enough; nothing more may be flushed to it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except (Exception, KeyboardInterrupt) as error:
            # TVM turns a KeyboardInterrupt inside its callbacks into errors of its own.
            if interrupts or isinstance(error, click.Abort | KeyboardInterrupt):
                click.echo(f"{PROGRAM}: interrupted", err=True)
                return INTERRUPTED
            if isinstance(error, click.ClickException):
                error.show()
                return USER_ERROR
            told = _told(error)
            if told is None:
                raise
            if debug.wanted:
                traceback.print_exc()
            else:
                click.echo(f"{PROGRAM}: {' '.join(told.split())}", err=True)
            return USER_ERROR


def _told(error: BaseException) -> str | None:
    """Return what a user is told of an error that they can put right, None of others."""
    if isinstance(error, LcpError):
        return str(error)
    if isinstance(error, OSError) and error.filename and error.errno in REFUSED_BY_THE_SYSTEM:
        return f"{error.filename}: {error.strerror}"
    return None


@contextmanager
def _noticed_interrupts() -> Iterator[list[int]]:
    """Collect the SIGINTs of a block; each still raises KeyboardInterrupt."""
    seen: list[int] = []

    def notice(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, notice)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)
