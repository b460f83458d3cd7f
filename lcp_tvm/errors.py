"""Errors a user can cause. The command line prints one line and exits with status 2.

    LcpError
    ├── InputError       a file, picture, calibration set or option that cannot be used
    ├── ModelError       a network that cannot be imported, quantised or compiled
    ├── ConfigError      a VTA config that is wrong, or another board's
    ├── PlanError        a split that cannot be made, or a plan that is wrong
    ├── PackageError     a .lcp file that is corrupt, newer, or for something else
    ├── WorkerError      a worker that is not there, died, or refuses
    └── SimulationError  a VTA program that the hardware would get wrong

Anything else that escapes is a defect of ours and keeps its traceback.
"""


class LcpError(Exception):
    """Base: a message says what, where, what was found, what is allowed, what to do next."""


class InputError(LcpError):
    """A file, picture, calibration set or option that cannot be used."""


class ModelError(LcpError):
    """A network that cannot be imported, quantised or compiled."""


class ConfigError(LcpError):
    """A VTA config that is wrong, or that belongs to another board."""


class PlanError(LcpError):
    """A split that a network or cluster does not allow, or a plan that is wrong."""


class PackageError(LcpError):
    """A ``.lcp`` file that is corrupt, of a newer version, or for something else."""


class WorkerError(LcpError):
    """A worker that cannot be reached, died, or refuses the work."""


class SimulationError(LcpError):
    """A VTA program that the hardware would get wrong."""
