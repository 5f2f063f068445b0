"""One network on several devices, over which the parts of a work are dealt, and worked out side by side.

The outcomes come in the order of the parts, so that what is made of them does not depend on which device was first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from vidstyle.vgg import VGG19

__all__ = ["Spread"]

Part = TypeVar("Part")
Outcome = TypeVar("Outcome")


class Spread:
    """Deals work over networks, each on a device of its own: the first one's share is done by the caller, each other one's by a thread.

    The threads are those of a pool, which ends when this is forgotten.
    """

    def __init__(self, networks: Sequence[VGG19]) -> None:
        """`networks` are the same network, one or more times."""
        self._networks = tuple(networks)
        self._threads = tuple(ThreadPoolExecutor(1) for _ in self._networks[1:])  # each starts with the first work that it is given

    def each(self, work: Callable[[VGG19, Part], Outcome], parts: Sequence[Part]) -> Iterator[Outcome]:
        """The outcomes of `work` for every part, in their order; as many parts are in work at a time as there are networks.

        `work` is called in other threads too, to which torch's modes (`no_grad`) do not reach. What it raises is raised here. Whoever
        stops asking does not wait for what is in work: it ends by itself, and nothing else is begun.
        """
        count = len(self._networks)
        for first in range(0, len(parts), count):
            own, *others = parts[first : first + count]
            others_work = zip(self._threads, self._networks[1:], others, strict=False)
            coming = [thread.submit(work, network, part) for thread, network, part in others_work]
            yield work(self._networks[0], own)
            for other in coming:
                yield other.result()
