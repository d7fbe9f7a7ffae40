"""The socket that a hub listens on: TCP, both families where that is asked for, or a unix socket."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import stat
from pathlib import Path

from agentbus.errors import HubConfigError

LISTEN_BACKLOG = 1024
ANY_IPV6 = "::"


def use_all_files() -> int:
    """Raise this process's limit of open files to what it may have; return it. Each connection is one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems name a limit that they don't grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def bind(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """Listen on an address; `::` means every address of both families, where the system can do that.

    Args:
        host: a name or an address.
        port: 0 picks a free one.
        reuse_port: other processes listen on the same port, too.

    Raises:
        HubConfigError: nobody can listen there.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        both = host == ANY_IPV6 and family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        listener = socket.create_server(
            address[:2], family=family, backlog=LISTEN_BACKLOG, dualstack_ipv6=both, reuse_port=reuse_port
        )
    except OSError as error:
        raise HubConfigError("server", "host and port", _why_not(error, host, port)) from None
    listener.setblocking(False)  # noqa: FBT003 -- its only argument
    return listener


def _why_not(error: OSError, host: str, port: int) -> str:
    """Say why nobody can listen there, and what to do about it."""
    if error.errno == errno.EADDRINUSE:
        return f"{host}:{port} is in use: stop what listens there, or name another port (0 picks a free one)"
    if error.errno == errno.EACCES:
        return f"{host}:{port} is not permitted: ports below 1024 are for root; name a higher one"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host}:{port}: no network interface of this machine has that address"
    return f"{host}:{port}: {error.strerror or error}"


class UnixSocket:
    """A unix socket in the file system, which goes when the hub goes.

    What a killed hub left behind is replaced. What somebody listens on, and what is no socket, is left alone.

    Args:
        path: where.
        mode: permissions, such as 0o660; connecting needs the right to write.
    """

    def __init__(self, path: Path, mode: int) -> None:
        self._path = path
        self._mode = mode
        self._inode: int | None = None

    def bind(self) -> socket.socket:
        """Listen.

        Raises:
            HubConfigError: it can't be made there, or is somebody's.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._remove_stale()
            self._make(listener)
        except OSError as error:
            listener.close()
            raise HubConfigError("server", "uds", f"{self._path}: {error.strerror or error}") from None
        except HubConfigError:
            listener.close()
            raise
        return listener

    def remove(self) -> None:
        """Take it away again, unless another has taken its place."""
        with contextlib.suppress(OSError):
            ours = self._inode is not None and self._path.lstat().st_ino == self._inode
            if ours and not self._answers():  # a number may be another's by now
                self._path.unlink()
        self._inode = None

    def _make(self, listener: socket.socket) -> None:
        before = os.umask(0o177)  # nobody else gets in before it has its permissions
        try:
            listener.bind(str(self._path))
        finally:
            os.umask(before)
        self._inode = self._path.lstat().st_ino
        self._path.chmod(self._mode)
        listener.listen(LISTEN_BACKLOG)
        listener.setblocking(False)  # noqa: FBT003 -- its only argument

    def _remove_stale(self) -> None:
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise HubConfigError("server", "uds", f"{self._path} is there and is no socket")
        if self._answers():
            raise HubConfigError("server", "uds", f"{self._path} is in use: stop what listens there")
        self._path.unlink()

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self._path))
            except ConnectionRefusedError:
                return False
        return True
