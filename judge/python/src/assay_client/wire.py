"""Requests and replies as bytes: what the client of threads and that of tasks share. No I/O."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple
from urllib.parse import urlsplit

from .errors import RequestRefused

NDJSON = "application/x-ndjson"
LINE_BYTES_MAX = 256 << 20


@dataclass(frozen=True)
class Address:
    """Where the service is."""

    host: str
    port: int
    prefix: str
    secure: bool

    @classmethod
    def of(cls, url: str) -> Address:
        """The address in a URL such as ``http://127.0.0.1:8080``."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http(s) URL")
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        return cls(parts.hostname, port, parts.path.rstrip("/"), secure)

    def context(self, given: Optional[ssl.SSLContext]) -> Optional[ssl.SSLContext]:
        """The TLS context; None for plain HTTP."""
        return (given or ssl.create_default_context()) if self.secure else None


def headers(address: Address, api_key: Optional[str], accept: str) -> Dict[str, str]:
    """The headers of a request."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    fields = {
        "Host": f"{host}:{address.port}",
        "Accept": accept,
        "Content-Type": "application/json",
        "User-Agent": "assay-client/0.1",
    }
    if api_key:
        fields["Authorization"] = f"Bearer {api_key}"
    return fields


def encode(body: Any) -> bytes:
    """A body as JSON. Numbers that JSON has not are an error here, not there."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")


def request_bytes(method: str, path: str, fields: Mapping[str, str], body: bytes) -> bytes:
    """A whole HTTP/1.1 request."""
    for name, value in fields.items():
        if any(c in name + value for c in "\r\n"):
            raise ValueError(f"header {name} holds a line break")
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def parse_head(head: bytes) -> Tuple[int, Dict[str, str]]:
    """Status and headers, names in lower case."""
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1."):
        raise ConnectionError(f"no HTTP reply: {lines[0][:80]!r}")
    fields: Dict[str, str] = {}
    for line in lines[1:]:
        name, found, value = line.partition(":")
        if found:
            fields[name.strip().lower()] = value.strip()
    return int(parts[1]), fields


def refusal(status: int, body: bytes) -> RequestRefused:
    """The error that a reply with such a status tells."""
    try:
        error = json.loads(body)["error"]
        return RequestRefused(status, error["code"], error["message"], error["hint"])
    except (ValueError, KeyError, TypeError):
        text = body[:500].decode("utf-8", "replace")
        return RequestRefused(status, "unknown", text, "this is no error of the service")


def lines_of(buffer: bytearray) -> List[bytes]:
    """Takes whole lines out of a buffer."""
    *whole, rest = bytes(buffer).split(b"\n")
    buffer[:] = rest
    if len(buffer) > LINE_BYTES_MAX:
        raise ConnectionError("a line of the reply has no end")
    return [line for line in whole if line.strip()]
