"""What goes through Envoy goes through every transport."""

from harness.transports import transport

__all__ = ["transport"]
