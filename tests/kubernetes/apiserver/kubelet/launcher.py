"""Becomes the parent of a container's first process: ``python launcher.py NETWORK SCRIPT``.

It enters the pod's network, makes the other namespaces, starts a shell in them, and ends as that ends. Whoever of the
line is killed takes those below along. (`unshare` of util-linux 2.38 cannot tell a child that was killed from one that
has failed.)
"""

import ctypes
import os
import signal
import sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x4000000, 0x20000000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PR_SET_PDEATHSIG = 1

LIBC = ctypes.CDLL(None, use_errno=True)


def must(result: int, what: str) -> None:
    """Ends with a sentence where the kernel has refused."""
    if result:
        sys.stderr.write(f"the container cannot be made: {what}: {os.strerror(ctypes.get_errno())}\n")
        os._exit(128)


def main(network: str, script: str) -> None:
    """Never returns."""
    must(LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
    with open(f"/run/netns/{network}", "rb") as file:
        must(LIBC.setns(file.fileno(), CLONE_NEWNET), "setns")
    must(LIBC.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID), "unshare")
    child = os.fork()
    if not child:
        must(LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
        must(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount")
        os.execv("/bin/sh", ["/bin/sh", "-c", script])
    _, status = os.waitpid(child, 0)
    os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


if __name__ == "__main__":
    main(*sys.argv[1:])
