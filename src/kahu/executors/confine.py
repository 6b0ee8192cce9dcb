"""bubblewrap around a tool: no network, no sight of other files or processes, no rights.

What a tool finds inside: the system's programs and libraries, its own folder, its environment and the case, all
of them read-only; and of what it may write, `out` and `tmp` of its job.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

# Programs and libraries, what the linker and the name services look up, and what numerical libraries ask
# about processors. What is not there is left out.
_SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/sys",
)
_GPUS = ("nvidia*", "dri", "kfd")  # in /dev
_TMP = 256 << 20  # bytes in /tmp, for programs that insist on it: it lies in memory, TMPDIR does not
_NOBODY = "65534"


def confined(
    command: Sequence[str], *, bwrap: str, cwd: Path, readable: Sequence[Path], writable: Sequence[Path]
) -> tuple[str, ...]:
    """The command that runs `command` in `cwd`, with these files and folders and no others."""
    return (
        bwrap,
        "--unshare-user",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        *("--uid", _NOBODY, "--gid", _NOBODY, "--cap-drop", "ALL"),
        "--die-with-parent",
        *(word for path in _SYSTEM for word in ("--ro-bind-try", path, path)),
        *("--proc", "/proc", "--dev", "/dev"),
        *(word for path in _gpus() for word in ("--dev-bind-try", path, path)),
        *("--size", str(_TMP), "--tmpfs", "/tmp"),
        *(word for path in readable for word in ("--ro-bind", str(path), str(path))),
        *(word for path in writable for word in ("--bind", str(path), str(path))),
        *("--chdir", str(cwd)),
        "--",
        *command,
    )


def interpreter() -> tuple[Path, ...]:
    """Where the interpreter lies that environments are made of."""
    program = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    return tuple(dict.fromkeys((Path(sys.base_prefix).resolve(), program.parent.parent)))


@cache
def bubblewrap() -> str:
    """Its program; empty where there is none, or where the kernel does not let it do its work."""
    found = shutil.which("bwrap")
    if found is None:
        return ""
    trial = confined(["true"], bwrap=found, cwd=Path("/"), readable=interpreter(), writable=())
    try:
        done = subprocess.run(trial, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found if done.returncode == 0 else ""


def _gpus() -> list[str]:
    return [str(path) for pattern in _GPUS for path in sorted(Path("/dev").glob(pattern))]
