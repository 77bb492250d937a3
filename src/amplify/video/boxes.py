"""What an mp4 claims to hold, against the bytes that it has: a claim alone must not reserve memory.

The demuxer makes an entry for every sample that a table announces, and a table can announce 10⁹ in a dozen bytes.

Source: ISO/IEC 14496-12, the box structure and the tables of samples.
"""

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from amplify.errors import DataError

FIRST = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx", b"uuid", b"pnot")
HOLD_BOXES = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf")
MAX_DEPTH, MAX_BOXES = 8, 1_000_000


def check_claims(path: Path) -> None:
    """Passes over every file that is no mp4 or that cannot be followed: the demuxer says what is wrong with those.

    Raises:
        DataError: The file announces more samples than it has bytes.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(8)[4:] in FIRST:
            _Claims(path, file, size).follow(0, size, 0)


class _Claims:
    def __init__(self, path: Path, file: BinaryIO, size: int):
        self.path, self.file, self.size = path, file, size
        self.samples, self.boxes = 0, 0

    def follow(self, start: int, end: int, depth: int) -> None:
        while start + 8 <= end and depth <= MAX_DEPTH:
            self.boxes += 1
            if self.boxes > MAX_BOXES:
                raise DataError(f"absurd video: {self.path}", got=f"more than {MAX_BOXES} boxes", allowed="an mp4")
            self.file.seek(start)
            head = self.file.read(16)
            length, kind, body = struct.unpack(">I", head[:4])[0], head[4:8], start + 8
            if length == 1 and len(head) == 16:
                length, body = struct.unpack(">Q", head[8:])[0], start + 16
            stop = end if length == 0 else min(end, start + length)
            if stop < body:
                return
            if kind in HOLD_BOXES:
                self.follow(body, stop, depth + 1)
            elif kind in (b"stsz", b"stz2", b"stts", b"ctts", b"trun"):
                self.file.seek(body)
                self.table(kind, self.file.read(12), stop - body)
            start = stop

    def table(self, kind: bytes, head: bytes, length: int) -> None:
        if len(head) < 8 or (kind in (b"stsz", b"stz2") and len(head) < 12):
            return
        if kind in (b"stts", b"ctts"):
            entries = struct.unpack(">I", head[4:8])[0]
            self.file.seek(-len(head) + 8, 1)
            runs = self.file.read(min(8 * entries, length - 8) // 8 * 8)
            self.refuse(int(np.frombuffer(runs, ">u4")[::2].sum(dtype=np.uint64)), 1)
        elif kind == b"trun":
            count = struct.unpack(">I", head[4:8])[0]
            self.samples += count
            self.refuse(self.samples, 1)
        else:
            each, count = struct.unpack(">II", head[4:12])
            self.samples += count
            self.refuse(count, each if kind == b"stsz" and each else 1)
            self.refuse(self.samples, 1)

    def refuse(self, samples: int, each: int) -> None:
        if samples * each > self.size:
            raise DataError(
                f"absurd video: {self.path} claims more than it can hold",
                got=f"{samples} samples of {each} bytes or more in a file of {self.size} bytes",
                remedy="copy or record the file again, or leave the episode out",
            )
