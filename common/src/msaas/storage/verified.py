"""Objects that a process has compared with their manifest: each is read for that once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

#: Each is a name, an ETag and a hash.
_SIZE = 10_000

T = TypeVar("T")


class Verified(Generic[T]):
    """Remembers the latest `size` keys that were verified, with a fact about each. Thread-safe."""

    def __init__(self, size: int = _SIZE) -> None:
        self._size = size
        self._keys: OrderedDict[Hashable, T] = OrderedDict()
        self._guard = threading.Lock()
        #: One lock for each key that a thread verifies now.
        self._locks: WeakValueDictionary[Hashable, threading.Lock] = WeakValueDictionary()

    def verify_once(self, key: Hashable, verify: Callable[[], T]) -> T:
        """Return `verify()`, or its result if it succeeded for this key before.

        Another call for the key waits meanwhile.

        Raises the errors of `verify`.
        """
        lock = self._lock_of(key)
        with lock:
            if key in self._keys:
                return self._keys[key]
            fact = verify()
            self._add(key, fact)
            return fact

    def _lock_of(self, key: Hashable) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(key, threading.Lock())

    def _add(self, key: Hashable, fact: T) -> None:
        with self._guard:
            self._keys[key] = fact
            while len(self._keys) > self._size:
                self._keys.popitem(last=False)
