"""Files of this machine that appear whole or not at all, and what a disk's errors mean to a person."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from millwright_api.errors import (
    AccessDenied,
    Damaged,
    MillwrightError,
    NoSpaceLeft,
    StoreNotFound,
    StoreUnavailable,
)

TEMP_PREFIX = ".mw-temp-"
"""Files that are still being written: never listed, removed when their writer is gone."""

STALE_SECONDS = 60
"""Age from which a temporary file that nobody locks counts as left behind."""

PIECE = 1024 * 1024
"""Bytes copied at a time."""

FICLONE = 0x40049409
"""Linux's ioctl that lets two files share their blocks (btrfs, xfs)."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What the system says when a disk, a quota or a process's own limit holds no more."""

DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
WRONG_PLACE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG}
NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
ATTEMPTS = 20
"""Another process may remove a folder that has become empty just before a file is made in it: then once more."""


@contextlib.contextmanager
def told(path: Path, needed: int | None = None) -> Iterator[None]:
    """Turns an OSError into the error a person can act on.

    Args:
        path: what is worked on, where the error does not say.
        needed: bytes to be written.

    Raises:
        NoSpaceLeft, AccessDenied, StoreNotFound: as the disk says.
        StoreUnavailable: anything else, such as a network disk that is away.
    """
    try:
        yield
    except OSError as error:
        raise _explain(error, path, needed) from error


def _explain(error: OSError, path: Path, needed: int | None) -> MillwrightError:
    where = str(path) if not isinstance(error.filename, str) or TEMP_PREFIX in error.filename else error.filename
    if error.errno in FULL:
        return no_space(path, needed)
    if error.errno in DENIED:
        return AccessDenied(
            f"the disk refuses: {error.strerror}", where=where, hint=f"the run's user id is {os.geteuid()}"
        )
    if error.errno in WRONG_PLACE:
        return StoreNotFound(f"no file can be there: {error.strerror}", where=where)
    return StoreUnavailable(f"the disk fails: {error.strerror or error}", where=where)


def no_space(path: Path, needed: int | None) -> NoSpaceLeft:
    """Returns the error that says how much is free on a path's disk, and how much was needed (in bytes)."""
    place = nearest_folder(path)
    free = shutil.disk_usage(place).free
    wanted = f"{needed:,} bytes needed" if needed is not None else "more needed"
    return NoSpaceLeft(
        f"no space left: {wanted}, {free:,} bytes free",
        where=str(path),
        hint="free some, or raise the disk's quota or limit",
    )


def check_free(path: Path, needed: int) -> None:
    """Raises NoSpaceLeft when a path's disk has fewer free bytes than are needed."""
    if shutil.disk_usage(nearest_folder(path)).free < needed:
        raise no_space(path, needed)


def nearest_folder(path: Path) -> Path:
    """Returns the folder nearest to a path, upwards, that exists; the path itself when it is one."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def blocking_file(path: Path) -> Path | None:
    """Returns what stands where a folder should be: the path itself or one above it; None when nothing does."""
    for place in (path, *path.parents):
        try:
            if not stat.S_ISDIR(place.stat().st_mode):
                return place
        except (FileNotFoundError, NotADirectoryError):
            continue
    return None


def write_whole(path: Path, fill: Callable[[BinaryIO], None], *, if_absent: bool = False) -> None:
    """Writes a file beside its place, makes it durable, then moves it there.

    Args:
        fill: writes the content; when it raises, nothing appears.
        if_absent: raise FileExistsError when the place is taken.
    """
    with _fresh_beside(path) as (temp, stream):
        fill(stream)
        stream.flush()
        os.fsync(stream.fileno())
        if if_absent:
            _place_if_absent(temp, path)
        else:
            temp.replace(path)
        _sync_folder(path.parent)


def link_whole(source: Path, path: Path) -> bool:
    """Makes `path` the same file as `source`, durably; returns False where the file system cannot."""
    for _ in range(ATTEMPTS):
        _make_folder(path.parent)
        temp = _temp_beside(path)
        try:
            temp.hardlink_to(source.resolve())
            temp.replace(path)
        except FileNotFoundError:
            source.stat()  # raises when it is the source that is gone
            continue
        except OSError as error:
            if error.errno in NO_LINKS:
                return False
            raise
        finally:
            temp.unlink(missing_ok=True)  # still there when both were one file already: rename then does nothing
        with contextlib.suppress(FileNotFoundError):  # removed already, by another process
            _sync_file(path)
        _sync_folder(path.parent)
        return True
    raise StoreUnavailable("its folder is removed again and again by another process", where=str(path))


def copy_whole(source: Path, path: Path, sha256: str | None, on_bytes: Callable[[int], None] | None = None) -> str:
    """Copies a file, whole or not at all; returns the copy's sha256 in hex.

    Raises:
        Damaged: its sha256 is not the one given.
    """
    digest = hashlib.sha256()

    def fill(target: BinaryIO) -> None:
        """Copies piece by piece, with the digest."""
        with source.open("rb") as stream:
            while piece := stream.read(PIECE):
                target.write(piece)
                digest.update(piece)
                if on_bytes:
                    on_bytes(len(piece))
        if sha256 not in {None, digest.hexdigest()}:
            raise Damaged(f"its sha256 is {digest.hexdigest()}, not {sha256}", where=str(source))

    check_free(path, source.stat().st_size)
    write_whole(path, fill)
    return digest.hexdigest()


def clone_whole(source: Path, path: Path) -> bool:
    """Makes `path` a copy that shares its blocks with `source`; returns False where the file system cannot."""

    def fill(target: BinaryIO) -> None:
        """Shares the source's blocks."""
        with source.open("rb") as stream:
            fcntl.ioctl(target, FICLONE, stream.fileno())

    try:
        write_whole(path, fill)
    except OSError as error:
        if error.errno in NO_LINKS | {errno.EINVAL, errno.ENOTTY}:
            return False
        raise
    return True


def sweep(folder: Path) -> None:
    """Removes temporary files of a folder whose writers are gone; a folder that is not there has none."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(TEMP_PREFIX):
                with contextlib.suppress(OSError):  # gone meanwhile, or its writer is alive
                    _remove_if_stale(Path(entry.path))


def _remove_if_stale(temp: Path) -> None:
    if time.time() - temp.stat().st_ctime < STALE_SECONDS:
        return
    with temp.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        temp.unlink()


@contextlib.contextmanager
def _fresh_beside(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Opens a new file in a path's folder, locked while its writer lives, and removes it at the end."""
    for attempt in range(ATTEMPTS):
        _make_folder(path.parent)
        temp = _temp_beside(path)
        try:
            stream = temp.open("xb")
            break
        except FileNotFoundError:
            if attempt == ATTEMPTS - 1:
                raise
    try:
        with stream:
            with contextlib.suppress(OSError):  # a file system without locks: age alone decides
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield temp, stream
    finally:
        temp.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    for attempt in range(ATTEMPTS):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return
        except FileNotFoundError:  # the folder above it is removed between its making and this one's
            if attempt == ATTEMPTS - 1:
                raise
        except FileExistsError:  # also when the folder was there and is removed before mkdir has looked
            if attempt == ATTEMPTS - 1 or blocking_file(folder) is not None:
                raise


def _place_if_absent(temp: Path, path: Path) -> None:
    try:
        path.hardlink_to(temp)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if path.exists():  # no links here: the caller's lock has to do
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        temp.replace(path)


def _temp_beside(path: Path) -> Path:
    return path.parent / f"{TEMP_PREFIX}{secrets.token_hex(8)}"


def _sync_file(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:  # removed with what was written there, by another process: nothing is left to keep
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
