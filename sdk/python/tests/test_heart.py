"""When the other side hangs."""

import unittest

from millrace._heart import Heart


class Hearts(unittest.TestCase):
    def test_four_beats_without_a_word(self) -> None:
        heart = Heart()
        beats = [(tick, heart.is_hung) for tick in range(51) if heart.beat(tick / 10, 0.0)]
        self.assertEqual(beats, [(10, False), (20, False), (30, False), (40, True), (50, True)])
        heart.heard()
        self.assertFalse(heart.is_hung)

    def test_no_beat_while_something_comes(self) -> None:
        heart = Heart()
        self.assertFalse(any(heart.beat(tick / 10, tick / 10 - 0.9) for tick in range(200)))

    def test_who_hung_himself_counts_one_beat(self) -> None:
        heart = Heart()
        self.assertTrue(heart.beat(1.0, 0.0))
        self.assertTrue(heart.beat(600.0, 0.0))
        self.assertFalse(heart.beat(600.1, 0.0))
        self.assertFalse(heart.is_hung)
