"""Whether the other side hangs: a connection may live on while nobody reads from it any more.

While an answer is waited for and nothing comes, a ping is sent each BEAT; after BEATS of them without a word the
other side hangs. Beats are counted, not time: a process that hung itself blames nobody.
"""

from __future__ import annotations

BEAT = 1.0
BEATS = 4


class Heart:
    def __init__(self) -> None:
        self._beats = 0
        self._beat_at = float("-inf")

    @property
    def is_hung(self) -> bool:
        return self._beats >= BEATS

    def heard(self) -> None:
        """Something came, or there is another connection."""
        self._beats = 0

    def beat(self, now: float, heard: float) -> bool:
        """To be called often while nothing comes; heard: when something came last. True: it is time for a ping."""
        if now - max(self._beat_at, heard) < BEAT:
            return False
        self._beat_at = now
        self._beats += 1
        return True
