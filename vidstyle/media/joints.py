"""Transport and program streams can be laid end to end (`cat a.ts b.ts`): there the clock of the file begins anew."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import av
from av.container import InputContainer
from av.stream import Stream

__all__ = ["BROADCAST", "on_one_clock"]

BROADCAST = frozenset({"mpegts", "mpeg"})
"""FFmpeg's names of the containers whose clocks begin anywhere, and may begin anew."""

_SECOND = 90_000  # ticks, in which all streams of these containers count
# Decoding times never go back. Far ahead lies what follows a long gap, but also a clock that has begun anew further back than
# FFmpeg expects: it takes that for the overflow of 33 bits, after 26.5 hours, which it mends by itself.
_BACK, _FORWARD = _SECOND, 600 * _SECOND
# Packets of the same stream that go on from a jump: without them it is one wrong time.
_BORNE_OUT = 2
# Streams lie up to a second apart in the file; packets that are held for that at most.
_APART, _MOST_HELD = 2 * _SECOND, 2000


def on_one_clock(
    packets: Iterable[av.Packet[Stream]], container: InputContainer, joints: list[int] | None = None
) -> Iterator[av.Packet[Stream]]:
    """The packets of a container, those behind a joint moved so that they follow in time what lies before it.

    All streams are moved by the same time, by which none overlaps itself: sound and picture stay together. Other containers than
    `BROADCAST` are left as they are.

    Args:
        packets: all that the container gives, from its beginning; their times are changed in place.
        joints: where the clock begins anew, in ticks of 1/90000 s as moved, is added here.
    """
    if container.format.name not in BROADCAST:
        yield from packets
        return
    source = iter(packets)
    ahead: deque[av.Packet[Stream]] = deque()
    last: dict[int, int] = {}  # of every stream, on the clock of the file
    ends: dict[int, int] = {}  # of every stream, as moved
    shift = 0
    while (packet := ahead.popleft() if ahead else next(source, None)) is not None:
        time, stream = _time(packet), packet.stream_index
        if time is not None and _jumps(packet, time, last):
            if _goes_on(packet, time, last[stream], ahead, source):
                old, new = _parted([packet, *ahead], last)
                firsts: dict[int, int] = {}
                for other in new:
                    shown = _shown(other)
                    if shown is not None:
                        firsts[other.stream_index] = min(shown, firsts.get(other.stream_index, shown))
                for other in old:
                    yield _moved(other, shift)
                shift = max(ends[number] - first for number, first in firsts.items() if number in ends)
                if joints is not None:
                    joints.append(firsts[stream] + shift)
                last = {}
                ahead = deque(new)
                continue
        elif time is not None:
            last[stream] = time
            ends[stream] = max(ends.get(stream, 0), (_shown(packet) or time) + max(packet.duration or 0, 1) + shift)
        yield _moved(packet, shift)


def _jumps(packet: av.Packet[Stream], time: int, last: dict[int, int]) -> bool:
    """Whether a packet of sound or picture cannot be on the clock so far; what comes now and then, such as subtitles, tells nothing."""
    if packet.stream_index not in last or packet.stream.type not in ("video", "audio"):
        return False
    return time < last[packet.stream_index] - _BACK or time > max(last.values()) + _FORWARD


def _goes_on(
    packet: av.Packet[Stream], time: int, before: int, ahead: deque[av.Packet[Stream]], source: Iterator[av.Packet[Stream]]
) -> bool:
    """Whether those that follow in its stream are nearer to a packet than to the one `before` it; they are read ahead, and some more."""
    following = 0
    for position in range(_MOST_HELD):
        if position == len(ahead):
            other = next(source, None)
            if other is None:
                break
            ahead.append(other)
        other = ahead[position]
        moment = _time(other)
        if other.stream_index != packet.stream_index or moment is None:
            continue
        if following >= _BORNE_OUT:
            if not time <= moment < time + _APART:
                break
        elif abs(moment - time) >= abs(moment - before):
            return False
        following += 1
    return following >= _BORNE_OUT


def _parted(packets: Iterable[av.Packet[Stream]], last: dict[int, int]) -> tuple[list[av.Packet[Stream]], list[av.Packet[Stream]]]:
    """Packets on the clock so far, of streams that reach over the joint in the file, and those on the new one."""
    old, new, turned = [], [], set[int]()
    for packet in packets:
        time, stream = _time(packet), packet.stream_index
        continues = time is not None and stream in last and last[stream] <= time <= last[stream] + _APART
        if continues and stream not in turned and packet.stream.type in ("video", "audio"):
            old.append(packet)
        else:
            new.append(packet)
            turned.add(stream)
    return old, new


def _time(packet: av.Packet[Stream]) -> int | None:
    return packet.dts if packet.dts is not None else packet.pts


def _shown(packet: av.Packet[Stream]) -> int | None:
    return packet.pts if packet.pts is not None else packet.dts


def _moved(packet: av.Packet[Stream], shift: int) -> av.Packet[Stream]:
    if shift:
        packet.pts = None if packet.pts is None else packet.pts + shift
        packet.dts = None if packet.dts is None else packet.dts + shift
    return packet
