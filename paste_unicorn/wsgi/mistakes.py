"""What an application may do wrong where only the server can see it (PEP 3333), in sentences that name it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import FunctionType, MethodType


class GatewayError(Exception):
    """The application broke a rule of PEP 3333 that only the server can see."""

    def name(self, application: Callable[..., object]) -> None:
        """Say which application it was: no frame of the traceback need be its."""
        named = application if isinstance(application, (FunctionType, MethodType, type)) else type(application)
        self.args = (f"{self} (called was {named.__module__}.{named.__qualname__})",)


def not_bytes(part: object) -> GatewayError:
    return GatewayError(f"a part of the body is of type {type(part).__name__}; it must be bytes")


def joined(parts: Sequence[bytes]) -> bytes:
    """The parts of a body as one. Raises GatewayError where one is not bytes."""
    try:
        return b"".join(parts)
    except TypeError:
        raise not_bytes(next(part for part in parts if not isinstance(part, bytes))) from None


def no_body(result: object) -> GatewayError | None:
    """What is wrong with a result that can't be iterated, or whose parts say nothing of the mistake."""
    if not isinstance(result, (bytes, bytearray, memoryview, str, dict)) and (
        isinstance(result, Iterable) or hasattr(type(result), "__getitem__")
    ):
        return None
    what = "None" if result is None else f"an object of type {type(result).__name__}"
    return GatewayError(f'the application returned {what}; it must return an iterable of bytes, for example [b"..."]')
