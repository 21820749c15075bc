"""The manifests of exports, for those who read no table of them: nothing heavy is loaded here."""

import json
import posixpath
from typing import Any, Final

MANIFEST: Final = "manifest.json"


def audit_heads(to: str) -> list[dict[str, Any]]:
    """The heads of the audit chain that the exports below ``to`` keep, oldest day first: {as_of, count, hash, …}."""
    import fsspec

    filesystem, root = fsspec.core.url_to_fs(to)
    found = sorted(filesystem.glob(posixpath.join(root, "*", MANIFEST)))
    manifests = [json.loads(filesystem.cat_file(path)) for path in found]
    return [{"as_of": manifest["as_of"], **manifest["audit_head"]} for manifest in manifests]
