"""One thread that owns the device, fed through a slot of size one in which the newest frame wins."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor


class Worker:
    """Calls work(item) for the newest item put; lost(reason) for one that had to go.

    What work returns is called in a second thread, one after the other, while the next item is in work: a device need
    not wait for what is copied and sent. At most one waits there. Neither may raise. An item still waiting at stop() is
    lost as stale; the one in work is finished.
    """

    def __init__(self, work, lost):
        self._work, self._lost = work, lost
        self._item = None
        self._running = True
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._thread.start()

    def put(self, item) -> None:
        """Leave an item, in place of the one that waits."""
        with self._changed:
            replaced, running = self._item, self._running
            self._item = item if running else None
            self._changed.notify_all()
        if not running:
            self._lost("stale")
        if replaced is not None:
            self._lost("overwritten")

    def wait_until_free(self) -> None:
        """Until put() would overwrite nothing."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is None)

    def stop(self) -> None:
        """Finish the item in work, lose the one that waits, end the thread; safe to call twice."""
        with self._changed:
            self._running = False
            waiting, self._item = self._item, None
            self._changed.notify_all()
        if waiting is not None:
            self._lost("stale")
        self._thread.join()

    def finish(self) -> None:
        """Like stop(), but the one that waits is done too."""
        self.wait_until_free()
        self.stop()

    def _run(self) -> None:
        with ThreadPoolExecutor(1, "worker-rest") as rest_of:
            before = None
            while (item := self._take()) is not None:
                rest = self._work(item)
                if before:
                    before.result()
                before = rest and rest_of.submit(rest)

    def _take(self):
        """What is in the slot, once there is something; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or not self._running)
            item, self._item = self._item, None
            self._changed.notify_all()
        return item
