"""Messages of several topics that belong to one moment, for who knows message_filters."""

from __future__ import annotations

from ..image_encodings import stamp_ns
from ..pairing import Pairer

try:
    from message_filters import SimpleFilter
except ImportError:

    class SimpleFilter:
        """The two methods of message_filters.SimpleFilter, where message_filters is not installed."""

        def __init__(self):
            self.callbacks = {}

        def registerCallback(self, callback, *args):  # noqa: N802 - the name in message_filters
            self.callbacks[len(self.callbacks)] = (callback, args)
            return len(self.callbacks) - 1

        def signalMessage(self, *messages):  # noqa: N802 - the name in message_filters
            for callback, args in self.callbacks.values():
                callback(*messages, *args)


# For who pairs pictures with what a slow network made of them.
PATIENT_NS = 10_000_000_000


class StampPairer(SimpleFilter, Pairer):
    """A Pairer that calls back as a SimpleFilter does.

    filters: message_filters.Subscriber or any SimpleFilter, one a stream; or none, and add() is called by hand.
    """

    def __init__(self, filters=(), streams: int = 0, **options):
        SimpleFilter.__init__(self)
        Pairer.__init__(self, len(filters) or streams, self.signalMessage, **options)
        for stream, source in enumerate(filters):
            source.registerCallback(self._receive, stream)

    def _receive(self, message, stream: int) -> None:
        self.add(stream, stamp_ns(message), message)
