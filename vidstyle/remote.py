"""Files of a store, such as `s3://bucket/film.mp4`, through fsspec; and a workspace that is kept there too.

A job works on local files. What it reads is fetched first, what it makes is put up when it is whole, and meanwhile every finished frame
is put up as well (`StoreMirror`), so that another machine can go on where this one stopped:

    OUTPUT.vidstyle/
        locks/9f0c…         who is at work here; renewed every minute
        job.json            as in the local workspace
        journal/000000001234    the lines of the journal from that byte on: an object cannot be added to
        frames/, state/     as in the local workspace

A frame's line is put up last, so that a kill at any moment leaves frames that are whole and, at most, some objects that nothing names.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from vidstyle.errors import MediaError, UsageError, VidstyleError, WorkspaceError
from vidstyle.workspace import is_intact, named_in_journal

__all__ = ["Place", "StoreMirror", "scratch_of"]

_STEERS = re.compile(r"[\x00-\x1f\x7f]")
_GLOB = re.compile(r"[*?\[\]]")
"""What fsspec would take for a pattern."""
_OWN = re.compile(r"job\.json|journal/\d{12}|frames/\d{6,}\.tif|state/\d{6,}\.npz")
"""Names in a workspace; whatever else somebody has put there stays."""
_UNIT = re.compile(r"units/\d{6,}/")
"""Where workspaces lie in a workspace."""
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds between attempts at what a store may do on another day."""
_AT_ONCE = 8
"""Objects that are fetched or put up side by side."""
_RENEWED, _STALE = 60.0, 300.0
"""Seconds after which a lock is renewed, and after which one that was not is nobody's."""
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
"""Protocol → the package that it needs."""
_LOCAL = ("file", "local")
"""Protocols of this disk, whose names begin with a slash, and where directories are made before what lies in them."""
_BUGS = (TypeError, AttributeError, NameError, AssertionError)
_FOR_GOOD = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, NotImplementedError, ValueError)
"""What the next attempt would end in too."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """A file or directory of a store, which need not exist."""

    url: str
    """As it is told, without a slash at its end."""
    path: str
    """As the file system calls it."""
    files: Any
    """fsspec's file system."""
    error: type[VidstyleError] = MediaError
    """What is raised where the store fails."""

    @classmethod
    def of(cls, url: str, writes: bool = False) -> Self:
        """The place that a URL names.

        Args:
            writes: something is to be written there.

        Raises:
            UsageError: there is no such protocol, what it needs is not installed, or the name is none to trust.
        """
        protocol, _, name = url.partition("://")
        protocol = protocol.lower()
        parts = (name.strip("/") if protocol in _LOCAL else name.rstrip("/")).split("/")
        if _STEERS.search(url) or "::" in url or any(part in ("", ".", "..") for part in parts if parts != [""] or writes):
            raise UsageError(f"{url}: is no name of a file in a store; write {protocol}://bucket/name, without //, . and .. in the name")
        if writes and (len(parts) < 2 or _GLOB.search(name)):
            raise UsageError(f"{url}: name a file or directory in the store, without any of * ? [ ], to write")
        files = _file_system(url, protocol)
        bare = url.rstrip("/")
        return cls(bare, files._strip_protocol(bare), files)

    @property
    def name(self) -> str:
        """The last part of the name."""
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> Self:
        """The directory that it lies in."""
        return type(self)(self.url.rpartition("/")[0], self.path.rpartition("/")[0], self.files, self.error)

    def __truediv__(self, name: str) -> Self:
        return type(self)(f"{self.url}/{name}", f"{self.path}/{name}", self.files, self.error)

    def look(self) -> dict[str, Any] | None:
        """What the store knows of it (`type` is "file" or "directory"); None where there is nothing.

        Raises:
            MediaError: the store cannot be asked.
        """

        def ask() -> dict[str, Any] | None:
            with suppress(FileNotFoundError):
                return dict(self.files.info(self.path))
            return None

        return self.tried(ask, pauses=())

    def entries(self) -> dict[str, dict[str, Any]]:
        """Name → what the store knows of it, of every file that lies in the directory itself; {} where there is none.

        Raises:
            MediaError: the store cannot be asked.
        """

        def ask() -> dict[str, dict[str, Any]]:
            found = {}
            with suppress(FileNotFoundError):
                for entry in self.files.ls(self.path, detail=True):
                    name = str(entry["name"]).rstrip("/").rpartition("/")[2]
                    if entry["type"] == "file" and name not in ("", ".", "..") and not _STEERS.search(name):
                        found[name] = entry
            return found

        return self.tried(ask)

    def everything(self) -> dict[str, int]:
        """Name below this directory → size, of every file, however deep; {} where there is none.

        Raises:
            MediaError: the store cannot be asked.
        """

        def ask() -> dict[str, int]:
            with suppress(FileNotFoundError):
                below = f"{self.path}/"
                return {
                    name.removeprefix(below): int(entry["size"] or 0)
                    for name, entry in self.files.find(self.path, detail=True).items()
                    if name.startswith(below) and not name.endswith("/")
                }
            return {}

        return self.tried(ask)

    def fetch(self, to: Path, size: int | None) -> None:
        """Copies the file to this disk; what stands at `to` is whole.

        Raises:
            MediaError: it is not there, cannot be read, or is not of the size that the store has told.
        """
        part = to.with_name(f"{to.name[:200]}.{uuid.uuid4().hex[:8]}.part")

        def get() -> None:
            try:
                self.files.get_file(self.path, str(part))
                found = part.stat().st_size
                if size is not None and found != size:
                    raise OSError(f"{found} bytes came of {size}")
                os.replace(part, to)
            finally:
                part.unlink(missing_ok=True)

        self.tried(get)

    def put(self, file: Path) -> None:
        """Copies a file of this disk there; an object store shows it once it is whole.

        Raises:
            MediaError: it cannot be written.
        """
        self.tried(lambda: self.files.put_file(str(file), self.path), writes=True)

    def write(self, data: bytes) -> None:
        """Makes a small object.

        Raises:
            MediaError: it cannot be written.
        """
        self.tried(lambda: self.files.pipe_file(self.path, data), writes=True)

    def read(self) -> bytes | None:
        """What a small object holds; None where there is none.

        Raises:
            MediaError: it cannot be read.
        """

        def ask() -> bytes | None:
            with suppress(FileNotFoundError):
                return bytes(self.files.cat_file(self.path))
            return None

        return self.tried(ask)

    def remove(self) -> None:
        """Deletes the object, which need not exist.

        Raises:
            MediaError: it cannot be deleted.
        """

        def delete() -> None:
            with suppress(FileNotFoundError):
                self.files.rm_file(self.path)

        self.tried(delete, writes=True)

    def each(self, work: Callable[[str], object], names: Collection[str]) -> None:
        """Does it for each of the names, several at once; the first error ends it."""
        if names:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(work, names))

    def tried(self, action: Callable[[], T], writes: bool = False, pauses: Sequence[float] | None = None) -> T:
        """Does it, and again after each of the `pauses` (default: of `_PAUSES`) where that may help.

        Raises:
            MediaError: it fails for good.
        """
        for pause in (*(_PAUSES if pauses is None else pauses), None):
            try:
                return action()
            except _BUGS:
                raise
            except Exception as error:  # botocore's, aiohttp's and others' have no root of their own
                if pause is None or isinstance(error, _FOR_GOOD) or "Credential" in type(error).__name__:
                    raise self._told(error, writes) from error
                time.sleep(pause)
        raise AssertionError("the last attempt has no pause")

    def _told(self, error: Exception, writes: bool) -> VidstyleError:
        said, done = " ".join(str(error).split()), "written" if writes else "read"
        if "Credential" in type(error).__name__:
            return self.error(f"{self.url}: no credentials for this store ({said}); set them as its own tools want them (docs/cluster.md)")
        if isinstance(error, PermissionError):
            return self.error(f"{self.url}: access is denied ({said}); check the credentials, and what they allow")
        if isinstance(error, FileNotFoundError):
            return self.error(f"{self.url}: cannot be {done} ({said}); check the name, and that the bucket is there")
        if isinstance(error, NotImplementedError):
            return self.error(f"{self.url}: this kind of store cannot be {'written to' if writes else 'read so'}; give another place")
        return self.error(f"{self.url}: cannot be {done}: {said or type(error).__name__}; see that the store can be reached, and try again")


def _file_system(url: str, protocol: str) -> Any:
    """fsspec's file system for a protocol; it remembers no listings, which others change."""
    try:
        import fsspec
    except ImportError:
        raise UsageError(f"{url}: needs fsspec, which is not installed; pip install fsspec") from None
    known = fsspec.available_protocols()
    if protocol not in known:
        near = difflib.get_close_matches(protocol, known, n=1, cutoff=0.5)
        raise UsageError(
            f"{url}: there is no protocol {protocol}://; {f'did you mean {near[0]}://?' if near else 'there are s3://, gs:// and others'}"
        )
    options = {"auto_mkdir": True} if protocol in _LOCAL else {}
    if protocol in _PACKAGES:  # it would print whole tracebacks of what is told below, or goes well at its second try
        logging.getLogger(_PACKAGES[protocol]).setLevel(logging.CRITICAL)
    try:
        return fsspec.filesystem(protocol, use_listings_cache=False, **options)
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        advice = f"pip install {package}" if package else " ".join(str(error).split())
        raise UsageError(f"{url}: what {protocol}:// needs is not installed; {advice}") from None
    except _BUGS:
        raise
    except Exception as error:
        raise UsageError(f"{url}: {' '.join(str(error).split())}; check the settings of the store") from None


def scratch_of(name: str) -> Path:
    """Where a job keeps its local files, by the name of what it makes: the same command finds them again. It need not exist."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser().absolute() / "vidstyle" / hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A workspace as it is in the store."""

    there: dict[str, int]
    """Name → size of every object."""
    parts: list[tuple[int, bytes]]
    """The journal: where each part begins, and what it holds."""


class StoreMirror:
    """A workspace kept a second time in a store, by one process at a time; see `vidstyle.workspace.Mirror`."""

    def __init__(self, root: Place) -> None:
        self._root = replace(root, error=WorkspaceError)
        self._locks = self._root / "locks"
        self._own: Place | None = None
        self._renewed = 0.0
        self._renewing = threading.Lock()
        self._over = threading.Event()
        self._renewer: threading.Thread | None = None
        self._seen: _Seen | None = None
        """What `begin` has found."""

    # --- the lock

    def hold(self) -> None:
        """Takes the lock, if it is not held yet.

        Everybody writes an object of its own and then looks for those of others, so that of two who come at once none or one goes on,
        whatever the store can do; and times are the store's own, so that no two clocks are compared.

        Raises:
            WorkspaceError: another process holds it, or the store cannot be written to.
        """
        if self._own is not None:
            return
        own = self._locks / uuid.uuid4().hex
        self._root.tried(lambda: own.files.pipe_file(own.path, _signature()), writes=True, pauses=())
        try:
            self._check_alone(own)
        except BaseException:
            with suppress(VidstyleError):
                own.remove()
            raise
        self._own, self._renewed = own, time.monotonic()
        self._over.clear()
        self._renewer = threading.Thread(target=self._renew_on, daemon=True)
        self._renewer.start()

    def _check_alone(self, own: Place) -> None:
        entries = self._locks.entries()
        now = _changed(entries.get(own.name, {}))
        for name, entry in entries.items():
            if name == own.name:
                continue
            other = self._locks / name
            if (text := other.read()) is None:
                continue
            who = _signed(text)
            changed = _changed(entry)
            if _has_ended(who) or (now is not None and changed is not None and now - changed > _STALE):
                other.remove()
                continue
            raise WorkspaceError(
                f"{self._root.url}: another vidstyle is at work here ({who.get('host', 'unknown')}, process {who.get('process', '?')}, "
                f"since {who.get('since', '?')}); wait for it, or choose another output; if it was killed, the place is free "
                f"{_STALE / 60:.0f} minutes after"
            )

    def _renew_on(self) -> None:
        while not self._over.wait(_RENEWED):
            with suppress(VidstyleError):  # the next frame looks again, and tells
                self._renew()

    def _renew(self) -> None:
        with self._renewing:
            own = self._own
            if own is None:
                return
            if own.read() is None:
                raise WorkspaceError(
                    f"{self._root.url}: another vidstyle has taken over while this one did not answer; its frames count, and this job ends"
                )
            own.write(_signature())
            self._renewed = time.monotonic()

    def _check_held(self) -> None:
        """Before something is changed: a machine that slept may have lost its place meanwhile."""
        if time.monotonic() - self._renewed > _STALE / 2:
            self._renew()

    def close(self) -> None:
        """Lets go of the lock; harmless when called twice."""
        self._over.set()
        with self._renewing:
            own, self._own = self._own, None
        if own is not None:
            with suppress(VidstyleError):  # it grows old by itself
                own.remove()
            if not {*_LOCAL, "memory"}.isdisjoint(_protocols(own.files)):  # directories are left there when they are empty
                for name in ("locks", "journal", "frames", "state", ""):
                    with suppress(OSError):
                        own.files.rmdir((self._root / name).path.rstrip("/"))

    def of(self, directory: Path, workspace: Path) -> StoreMirror | None:
        """The mirror of the workspace in `directory`, where this is that of `workspace`: itself, or one of its own for what lies in it."""
        if directory == workspace:
            return self
        return StoreMirror(self._root / directory.relative_to(workspace).as_posix()) if workspace in directory.parents else None

    # --- the workspace

    def begin(self, directory: Path, fresh: bool) -> None:
        """Takes the lock, and brings the local workspace up to what is in the store, unless that is ahead or all is to begin anew."""
        self.hold()
        if fresh:
            return
        seen = self._seen = self._look()
        stored = b"".join(text for _, text in seen.parts)
        job = (self._root / "job.json").read() if "job.json" in seen.there else None
        journal = directory / "journal.jsonl"
        local = journal.read_bytes() if journal.is_file() else b""
        own = directory / "job.json"
        if job is None or (own.is_file() and own.read_bytes() == job and local.startswith(stored)):
            job, stored = None, local if job is not None else b""
        else:
            journal.unlink(missing_ok=True)  # until all that it names is there
        self._fetch(directory, named_in_journal(stored), seen.there)
        if job is not None:
            _write(own, job)
            _write(journal, stored)

    def _look(self) -> _Seen:
        there = {name: size for name, size in self._root.everything().items() if _OWN.fullmatch(name)}
        names = sorted(name for name in there if name.startswith("journal/"))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            texts = pool.map(lambda name: (self._root / name).read(), names)
            parts, end = list[tuple[int, bytes]](), 0
            for name, text in zip(names, texts, strict=True):
                if int(name[-12:]) == end and text:
                    parts.append((end, text))
                    end += len(text)
        return _Seen(there, parts)

    def _fetch(self, directory: Path, wanted: dict[str, int], there: dict[str, int]) -> None:
        def fetch(name: str) -> None:
            to = directory / name
            if name in there and not is_intact(to, wanted[name]):
                to.parent.mkdir(exist_ok=True)
                (self._root / name).fetch(to, there[name])

        self._root.each(fetch, wanted)

    def match(self, directory: Path) -> None:
        """Brings the store up to the local workspace, in an order that leaves something sound at any moment."""
        seen, self._seen = self._seen or self._look(), None
        there = seen.there
        journal, job = directory / "journal.jsonl", (directory / "job.json").read_bytes()
        local = journal.read_bytes() if journal.is_file() else b""
        common = 0
        for start, text in seen.parts:
            if local[start : start + len(text)] != text:
                break
            common = start + len(text)
        kept = {_part(start) for start, _ in seen.parts if start < common}
        for name in sorted((name for name in there if name.startswith("journal/") and name not in kept), reverse=True):
            (self._root / name).remove()
        own = self._root / "job.json"
        if "job.json" not in there or own.read() != job:
            own.write(job)
        wanted, sound = named_in_journal(local), named_in_journal(local[:common])
        self._root.each(
            lambda name: (self._root / name).put(directory / name),
            [name for name in wanted if name not in there or wanted[name] != sound.get(name)],
        )
        if local[common:]:
            (self._root / _part(common)).write(local[common:])
        left = [name for name in there if not name.startswith("journal/") and name != "job.json" and name not in wanted]
        self._root.each(lambda name: (self._root / name).remove(), left)

    def keep(self, directory: Path, names: Iterable[str], place: int, line: bytes) -> None:
        """Puts up what a line of the journal names, and then the line, which stands at byte `place`."""
        self._check_held()
        for name in names:
            (self._root / name).put(directory / name)
        (self._root / _part(place)).write(line)

    def forget(self, names: Iterable[str]) -> None:
        """Deletes what no line needs any more."""
        for name in names:
            (self._root / name).remove()

    def remove(self) -> None:
        """Deletes everything, workspaces in it too; the journals first, without which the rest is only objects."""
        self._check_held()
        names = [name for name in self._root.everything() if _OWN.fullmatch(_UNIT.sub("", name))]
        for first in (True, False):
            self._root.each(lambda name: (self._root / name).remove(), [name for name in names if ("journal/" in name) is first])


def _protocols(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _part(place: int) -> str:
    return f"journal/{place:012d}"


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(data)
    os.replace(part, path)


def _machine() -> str:
    """This machine since it was started, as its processes see each other."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.stat('/proc/self/ns/pid').st_ino}"
    return socket.gethostname()


_SINCE = datetime.now(UTC).isoformat(" ", "seconds")


def _signature() -> bytes:
    return json.dumps({"host": socket.gethostname(), "machine": _machine(), "process": os.getpid(), "since": _SINCE}).encode()


def _signed(text: bytes) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        if isinstance(values := json.loads(text), dict):
            return values
    return {}


def _has_ended(who: dict[str, Any]) -> bool:
    """Whether it was a process of this machine that runs no more."""
    process = who.get("process")
    if who.get("machine") != _machine() or not isinstance(process, int) or process <= 0:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _changed(entry: dict[str, Any]) -> float | None:
    """When an object was last written, by the store's clock, in seconds; None where the store does not tell."""
    for key in ("LastModified", "last_modified", "mtime", "updated", "created"):
        when = entry.get(key)
        if isinstance(when, int | float):
            return float(when)
        with suppress(ValueError):
            when = datetime.fromisoformat(when) if isinstance(when, str) else when
        if isinstance(when, datetime):
            return when.timestamp()
    return None
