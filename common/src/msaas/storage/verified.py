"""Objects that a process has compared with their manifest: each is read for that once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from weakref import WeakValueDictionary

#: Each is a name, an ETag and a hash.
_SIZE = 10_000


class Verified:
    """Remembers the latest `size` keys that were verified. Thread-safe."""

    def __init__(self, size: int = _SIZE) -> None:
        self._size = size
        self._keys: OrderedDict[Hashable, None] = OrderedDict()
        self._guard = threading.Lock()
        #: One lock for each key that a thread verifies now.
        self._locks: WeakValueDictionary[Hashable, threading.Lock] = WeakValueDictionary()

    def verify_once(self, key: Hashable, verify: Callable[[], None]) -> None:
        """Call `verify`, unless it succeeded for this key before. Another call for the key waits meanwhile.

        Raises the errors of `verify`.
        """
        lock = self._lock_of(key)
        with lock:
            if key not in self._keys:
                verify()
                self._add(key)

    def _lock_of(self, key: Hashable) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(key, threading.Lock())

    def _add(self, key: Hashable) -> None:
        with self._guard:
            self._keys[key] = None
            while len(self._keys) > self._size:
                self._keys.popitem(last=False)
