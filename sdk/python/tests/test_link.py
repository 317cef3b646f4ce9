"""What a link does when ZeroMQ takes nothing."""

import unittest
from unittest import mock

from millrace._heart import Heart
from millrace._link import Link


def blocked(sent: bool, must_greet: bool) -> mock.Mock:
    """The socket of a link without its thread, to which nothing was handed for long."""
    link = Link.__new__(Link)
    link._endpoint = "tcp://127.0.0.1:1"
    link._dialed = float("-inf")
    link._must_greet = must_greet
    link._sent = {1: mock.Mock()} if sent else {}
    link._held = []
    link._listener = None
    link._heart = Heart()
    socket = mock.Mock()
    link._socket = socket
    link._block()
    return socket


class Redial(unittest.TestCase):
    def test_without_a_connection_it_connects_anew(self) -> None:
        for sent, must_greet in ((False, True), (True, True), (False, False)):
            blocked(sent, must_greet).connect.assert_called_once_with("tcp://127.0.0.1:1")

    def test_a_loss_is_seen_first(self) -> None:
        """Otherwise the next connection is taken for the one on which an answer is waited for."""
        blocked(sent=True, must_greet=False).connect.assert_not_called()
