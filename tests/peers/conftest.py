"""Tests against packages that the study itself does without; `make test-peers` installs them."""

import socket

import pytest


@pytest.fixture(autouse=True)
def _without_network(monkeypatch):
    """Nothing is asked of a hub: models and data sets are files here."""
    def connect(*_):
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", connect)
