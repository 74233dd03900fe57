"""A small S3 server on loopback, over the standard library: what ``pyarrow.fs`` needs of one to read, list and write.

It keeps objects in memory, checks no signature, and counts copies. PERENNIAL_TEST_S3 names another server (as
``http://127.0.0.1:5000``) for the same tests, for instance moto's.
"""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass
class Objects:
    """The objects by bucket and key, the parts of uploads under way, and the keys that were copied."""

    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    copied: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kept: Objects

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _request(self) -> tuple[str, dict[str, str], bytes]:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        body = self._body()
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            body = _unchunked(io.BytesIO(body))
        return unquote(url.path).lstrip("/"), query, body

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            return _unchunked(self.rfile)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, body: bytes | str = b"", headers: dict[str, str] | None = None) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        key, _, _ = self._request()
        found = self.kept.objects.get(key)
        if found is None and "/" in key.rstrip("/"):
            self._answer(404)
        else:
            size = {"Content-Length": str(len(found or b"")), "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
            self._answer(200, headers=size)

    def do_GET(self) -> None:
        key, query, _ = self._request()
        if "list-type" in query:
            self._answer(200, self._listing(key.rstrip("/"), query), {"Content-Type": "application/xml"})
            return
        found = self.kept.objects.get(key)
        if found is None:
            self._answer(404, _error("NoSuchKey"), {"Content-Type": "application/xml"})
            return
        if asked := self.headers.get("Range"):
            first, last = asked.removeprefix("bytes=").split("-")
            end = min(int(last) + 1, len(found)) if last else len(found)
            extent = {"Content-Range": f"bytes {first}-{end - 1}/{len(found)}"}
            self._answer(206, found[int(first) : end], extent)
            return
        self._answer(200, found)

    def _listing(self, bucket: str, query: dict[str, str]) -> str:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        names = sorted(key.partition("/")[2] for key in self.kept.objects if key.startswith(f"{bucket}/{prefix}"))
        folders, lines = dict[str, None](), list[str]()
        for name in names:
            rest = name[len(prefix) :]
            if delimiter and delimiter in rest:
                folders[prefix + rest.split(delimiter)[0] + delimiter] = None
                continue
            size = len(self.kept.objects[f"{bucket}/{name}"])
            lines.append(
                f"<Contents><Key>{escape(name)}</Key><Size>{size}</Size>"
                "<LastModified>2024-01-01T00:00:00.000Z</LastModified></Contents>"
            )
        lines += [f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in folders]
        count = f"<KeyCount>{len(lines)}</KeyCount><IsTruncated>false</IsTruncated>"
        return f"<ListBucketResult><Name>{bucket}</Name>{count}{''.join(lines)}</ListBucketResult>"

    def do_PUT(self) -> None:
        key, query, body = self._request()
        if source := self.headers.get("x-amz-copy-source"):
            self.kept.objects[key] = self.kept.objects[unquote(source).lstrip("/")]
            self.kept.copied.append(key)
            self._answer(200, '<CopyObjectResult><ETag>"x"</ETag></CopyObjectResult>')
        elif "partNumber" in query:
            self.kept.uploads[query["uploadId"]][int(query["partNumber"])] = body
            self._answer(200, headers={"ETag": '"x"'})
        else:
            self.kept.objects[key] = body
            self._answer(200, headers={"ETag": '"x"'})

    def do_POST(self) -> None:
        key, query, _ = self._request()
        if "uploads" in query:
            upload = f"upload-{len(self.kept.uploads)}"
            self.kept.uploads[upload] = {}
            self._answer(
                200,
                f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>",
            )
        else:
            parts = self.kept.uploads.pop(query["uploadId"])
            self.kept.objects[key] = b"".join(parts[number] for number in sorted(parts))
            self._answer(200, '<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>')

    def do_DELETE(self) -> None:
        key, _, _ = self._request()
        self.kept.objects.pop(key, None)
        self._answer(204)


def _unchunked(stream: BinaryIO) -> bytes:
    """The content of a chunked body, of HTTP or of AWS: each chunk behind its size in hex, then an empty one."""
    content = b""
    while size := int(stream.readline().split(b";")[0], 16):
        content += stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass  # trailers
    return content


def _error(code: str) -> str:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"


@contextmanager
def s3_server() -> Iterator[tuple[str, Objects]]:
    """The endpoint of a running server, and what it keeps."""
    kept = Objects()
    handler = type("Handler", (_Handler,), {"kept": kept})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
