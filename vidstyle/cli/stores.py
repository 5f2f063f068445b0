"""Names of a store (`s3://bucket/clip.mp4`) as INPUT, STYLE and OUTPUT: what is read is fetched first, what is made is put up in the end.

Files of this disk stand for them meanwhile, in a directory that the same command finds again. The workspace is kept in the store too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidstyle.cli.terminal import SHOWN_AS
from vidstyle.errors import MediaError, UsageError, VidstyleError
from vidstyle.files import is_url
from vidstyle.frames import MediaKind
from vidstyle.media import is_media_name, output_kind
from vidstyle.media.stills import READABLE
from vidstyle.numbered import FrameNames, FrameRange
from vidstyle.pipeline import workspace_path
from vidstyle.remote import Place, StoreMirror, scratch_of
from vidstyle.words import gigabytes
from vidstyle.workspace import mirroring

__all__ = ["Asked", "Local", "standing_for"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command was given, as it was typed."""

    source: str
    styles: Sequence[str]
    output: str
    frames: FrameRange | None = None
    """`--frames`."""
    beside: Callable[[Path], Sequence[Path]] = lambda output: ()
    """What is made beside the output, by where that is."""
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Local:
    """The files of this disk that stand for it."""

    source: Path | None
    """None where INPUT is no name of a store; so below."""
    styles: Sequence[Path | None]
    output: Path | None
    deliver: Callable[[], object]
    """Puts up what the job has made; to be called while its workspace is still there."""


@contextlib.contextmanager
def standing_for(asked: Asked, tell: Callable[[str], object]) -> Iterator[Local]:
    """Fetches what is read. What was fetched and painted stays where the block ends with an exception and a workspace was begun.

    Args:
        asked: the command.
        tell: is told what is fetched and put up.

    Raises:
        UsageError: a name is none, something stands at OUTPUT, or two names are one.
        MediaError: a store cannot be asked, or what is read is not there.
        WorkspaceError: another process is at work on OUTPUT.
    """
    source = Place.of(asked.source) if is_url(asked.source) else None
    styles = [Place.of(style) if is_url(style) else None for style in asked.styles]
    output = Place.of(asked.output, writes=True) if is_url(asked.output) else None
    if output is not None:
        name = output.url
    elif asked.output == "-":
        name = f"- of process {os.getpid()}"  # nothing is kept of it
    else:
        name = os.path.abspath(asked.output)
    scratch = scratch_of(name)
    with contextlib.ExitStack() as stack:
        goes = Path(asked.output)
        deliver: Callable[[], object] = lambda: None  # noqa: E731
        if output is not None:
            goes = scratch / "out" / output.name
            SHOWN_AS[str(goes.parent)] = output.parent.url
            _check_apart(output, [place for place in (source, *styles) if place is not None])
            kind = output_kind(f"{goes}/" if asked.output.endswith("/") else goes)
            _check_free(output, kind, asked.overwrite)
            for path in asked.beside(goes):
                _check_free(output.parent / path.name, "image", asked.overwrite)
            workspace = workspace_path(goes)
            mirror = StoreMirror(output.parent / workspace.name)
            stack.callback(mirror.close)
            mirror.hold()
            _empty(goes.parent, but=workspace)
            stack.enter_context(mirroring(lambda directory: mirror.of(directory, workspace)))
            deliver = _Delivery(output, goes, workspace, kind, tell).send
        try:
            read = [
                None if place is None else _fetched(place, scratch / "in", asked.frames if number == 0 else None, number == 0, tell)
                for number, place in enumerate((source, *styles))
            ]
            yield Local(read[0], read[1:], None if output is None else goes, deliver)
        except BaseException:
            if asked.output in ("", "-") or not workspace_path(goes).exists():
                shutil.rmtree(scratch, ignore_errors=True)
            raise
        shutil.rmtree(scratch, ignore_errors=True)


def _check_apart(output: Place, read: Sequence[Place]) -> None:
    for place in read:
        if place.url == output.url:
            raise UsageError(f"OUTPUT {output.url}: is an input of this job too; give another name")
        if f"{place.url}/".startswith(f"{output.url}/") or f"{output.url}/".startswith(f"{place.url}/"):
            raise UsageError(f"OUTPUT {output.url}, {place.url}: one lies in the other; give another name")


def _check_free(place: Place, kind: MediaKind, overwrite: bool) -> None:
    """Whether something can be put there.

    Raises:
        UsageError: something stands there that is not to be replaced.
        MediaError: the store cannot be asked.
    """
    sequence = FrameNames.of(Path(place.name))
    if kind == "frames" and sequence is not None:
        there = sorted(name for name in place.parent.entries() if sequence.number(name) is not None)
        if there and not overwrite:
            raise UsageError(f"{place.url}: {there[0]} is there already; give -y to write over frames of the same numbers, or another name")
        return
    found = place.look()
    if found is None:
        return
    if (found["type"] == "directory") != (kind == "frames"):
        is_one, wanted = ("a directory", "the file") if found["type"] == "directory" else ("a file", "a directory")
        raise UsageError(f"{place.url}: is {is_one}; name {wanted} to write")
    if kind == "frames" and not all(Path(name).suffix.lower() in READABLE for name in place.everything()):
        raise UsageError(f"{place.url}: holds other things than frames and is not replaced; give another name")
    if not overwrite:
        raise UsageError(f"{place.url}: exists already; give -y to overwrite it, or another name")


def _empty(directory: Path, but: Path) -> None:
    """Makes a directory that holds nothing but a workspace: what a kill left there is made anew from that."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for entry in directory.iterdir():
            if entry.is_dir() and not entry.is_symlink() and entry != but:
                shutil.rmtree(entry)
            elif entry != but:
                entry.unlink()
    except OSError as error:
        raise UsageError(
            f"{error.filename or directory}: cannot be written: {error.strerror or error}; XDG_CACHE_HOME names a place for what is fetched"
        ) from None


def _fetched(place: Place, into: Path, frames: FrameRange | None, is_source: bool, tell: Callable[[str], object]) -> Path:
    """The file, directory or sequence of this disk that stands for what is read; fetched if it is not there, or has changed.

    Raises:
        UsageError: there is nothing, or nothing of the kind.
        MediaError: it cannot be fetched.
    """
    found = place.look()
    sequence = FrameNames.of(Path(place.name)) if found is None and is_source else None
    if found is None and sequence is None:
        raise UsageError(f"{place.url}: there is no such file in the store; check the name, and the bucket")
    if found is not None and found["type"] == "file":
        files = {place.name: found}
        parent = place.parent
    else:
        parent = place if sequence is None else place.parent
        files = {
            name: entry
            for name, entry in parent.entries().items()
            if not name.startswith(".") and (is_media_name(Path(name)) if sequence is None else sequence.holds(name, frames))
        }
        if not files or not is_source:
            raise UsageError(f"{place.url}: {'is no picture' if not is_source else 'holds no picture of a film'}; check the name")
    key = hashlib.sha256("\n".join([parent.url, *(f"{name} {_version(files[name])}" for name in sorted(files))]).encode()).hexdigest()
    directory = into / key[:16] / ("frames" if parent is place else "")
    SHOWN_AS[str(directory)] = parent.url
    sizes = {name: entry.get("size") for name, entry in files.items()}
    missing = [name for name in sorted(files) if not _is_there(directory / name, sizes[name])]
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{directory}: cannot be made: {error.strerror or error}; XDG_CACHE_HOME names a place for what is fetched"
        ) from None
    if missing:
        tell(f"{place.url}: is fetched{_size(sum(sizes[name] or 0 for name in missing))}")
    parent.each(lambda name: (parent / name).fetch(directory / name, sizes[name]), missing)
    return directory if parent is place else directory / place.name


def _size(count: int) -> str:
    return f", {gigabytes(count)}" if count >= 1e6 else ""


def _version(entry: dict[str, object]) -> str:
    """What changes when a file of a store does, as far as the store tells."""
    return " ".join(str(entry.get(key)) for key in ("size", "ETag", "etag", "generation", "LastModified", "mtime", "updated", "created"))


def _is_there(path: Path, size: int | None) -> bool:
    return size is not None and path.is_file() and path.stat().st_size == size


@dataclass(frozen=True, slots=True)
class _Delivery:
    output: Place
    local: Path
    workspace: Path
    kind: MediaKind
    tell: Callable[[str], object]

    def send(self) -> None:
        """Puts up what lies beside the output, then that itself, frame by frame where it is many.

        Raises:
            MediaError: it cannot be; the workspace is still there.
        """
        files = sorted(path for path in self.local.parent.iterdir() if path.is_file() and not path.name.startswith("."))
        sequence = FrameNames.of(self.local)
        own = [path for path in files if path == self.local or (sequence is not None and sequence.number(path.name) is not None)]
        beside = [path for path in files if path not in own]
        frames = sorted(self.local.iterdir()) if self.local.is_dir() else own
        into = self.output if self.local.is_dir() else self.output.parent
        size = sum(path.stat().st_size for path in (*beside, *frames))
        self.tell(f"{self.output.url}: is put up{_size(size)}")
        try:
            for path in beside:
                _put(self.output.parent / path.name, path)
            into.each(lambda name: _put(into / name, frames[0].parent / name), [path.name for path in frames])
            if self.local.is_dir():
                names = {path.name for path in frames}
                into.each(lambda name: (into / name).remove(), [name for name in into.everything() if name not in names])
        except VidstyleError as error:
            raise type(error)(f"{error}; the frames are kept, run the same command again") from None


def _put(place: Place, file: Path) -> None:
    place.put(file)
    found, size = place.look(), file.stat().st_size
    if found is None or found.get("size") not in (size, None):
        raise MediaError(f"{place.url}: of {size} bytes that were put there the store has {0 if found is None else found.get('size')}")
