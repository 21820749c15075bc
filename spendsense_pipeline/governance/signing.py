"""Heads of the audit chain signed with a key that the database does not have (Ed25519).

Whoever can rewrite database, reports and exports cannot sign for the rewritten chain.
"""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spendsense_pipeline.errors import SpendSenseError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def sign(count: int, head: str, key: Path) -> str:
    """The signature of a head in Base64. Raises ``invalid_key``."""
    return base64.b64encode(private_key(key).sign(_message(count, head))).decode()


def is_signed(count: int, head: str, signature: str, key: Path) -> bool:
    """Whether the holder of the private key signed this head; ``key`` is either half, PEM. Raises ``invalid_key``."""
    from cryptography.exceptions import InvalidSignature

    try:
        _public_key(key).verify(base64.b64decode(signature, validate=True), _message(count, head))
    except (InvalidSignature, ValueError):
        return False
    return True


def _message(count: int, head: str) -> bytes:
    return f"spendsense audit head {count}:{head}".encode()


def private_key(file: Path) -> "Ed25519PrivateKey":
    """The key of a PEM file without password, as `openssl genpkey -algorithm ed25519` writes it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: Ed25519PrivateKey = _loaded(file, Ed25519PrivateKey, lambda pem: load_pem_private_key(pem, None))
    return key


def _public_key(file: Path) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if b"PRIVATE" in _pem_of(file):
        return private_key(file).public_key()
    key: Ed25519PublicKey = _loaded(file, Ed25519PublicKey, load_pem_public_key)
    return key


def _loaded(file: Path, kind: type[Any], load: Callable[[bytes], Any]) -> Any:
    try:
        key = load(_pem_of(file))
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, kind):
        raise SpendSenseError(
            f"{file} is no Ed25519 key in PEM; `openssl genpkey -algorithm ed25519 -out FILE` makes one",
            code="invalid_key",
        )
    return key


def _pem_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SpendSenseError(f"the key {file} cannot be read: {error.strerror}", code="invalid_key") from None
