"""Asking somebody else with an end, however slowly they answer.

A time limit of a socket is between two bytes: who sends one now and then is waited for without end.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, ask: Callable[[], T]) -> T:
    """What ``ask`` returns or raises. Raises ``TimeoutError`` after so many seconds; its thread goes on as long as the
    other side keeps it waiting, and ends with the process at the latest."""
    answer: Future[T] = Future()

    def asking() -> None:
        try:
            answer.set_result(ask())
        except Exception as error:  # noqa: BLE001 - raised to whoever waits
            answer.set_exception(error)

    threading.Thread(target=asking, name="asking", daemon=True).start()
    return answer.result(seconds)
