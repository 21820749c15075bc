"""Heads of the audit chain signed with a key that the database does not have (Ed25519).

Whoever can rewrite database, reports and exports cannot sign for the rewritten chain.
"""

import base64
from pathlib import Path
from typing import Any

from spendsense_pipeline.errors import SpendSenseError


def sign(count: int, head: str, key: Path) -> str:
    """The signature of a head in Base64. Raises ``invalid_key``."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return base64.b64encode(_loaded(key, Ed25519PrivateKey).sign(_message(count, head))).decode()


def is_signed(count: int, head: str, signature: str, key: Path) -> bool:
    """Whether the holder of the private key signed this head; ``key`` is either half, PEM. Raises ``invalid_key``."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    loaded = _loaded(key, Ed25519PrivateKey, Ed25519PublicKey)
    public = loaded.public_key() if isinstance(loaded, Ed25519PrivateKey) else loaded
    try:
        public.verify(base64.b64decode(signature, validate=True), _message(count, head))
    except (InvalidSignature, ValueError):
        return False
    return True


def _message(count: int, head: str) -> bytes:
    return f"spendsense audit head {count}:{head}".encode()


def _loaded(file: Path, *kinds: type[Any]) -> Any:
    """The key of a PEM file without password, as `openssl genpkey -algorithm ed25519` writes it, of these kinds."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

    try:
        pem = file.read_bytes()
        key: Any = load_pem_private_key(pem, None) if b"PRIVATE" in pem else load_pem_public_key(pem)
    except OSError as error:
        raise SpendSenseError(f"the key {file} cannot be read: {error.strerror}", code="invalid_key") from None
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, kinds):
        raise SpendSenseError(
            f"{file} is no Ed25519 key in PEM; `openssl genpkey -algorithm ed25519 -out FILE` makes one",
            code="invalid_key",
        )
    return key
