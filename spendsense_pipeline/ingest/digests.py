"""How erased ids are remembered. Apart from ``erased_files``, so that looking one up loads no engine."""

import hashlib


def digest(salt: str, kind: str, name: str) -> str:
    """How an erased ``user`` or ``account`` is remembered: sha256 in hex, over the id without the blanks around it."""
    return hashlib.sha256(f"{salt} {kind} {name.strip()}".encode(errors="surrogatepass")).hexdigest()


def holding(user_id: str, account_id: str) -> str:
    """The name under which it is remembered, among accounts, that an erased customer shared this one with others."""
    return f"{user_id.strip()}\n{account_id.strip()}"
