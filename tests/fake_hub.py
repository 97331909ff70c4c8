"""A hub on this machine that huggingface_hub talks to as it does to the real one: repositories,
commits, branches, private and gated ones.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of-the-tests"
Answer: TypeAlias = tuple[int, dict[str, Any]]


class FakeHub:
    """address: for HF_ENDPOINT; asked: requests, as `GET /path`; agents: who asked."""

    def __init__(self) -> None:
        self.address = ""
        self.asked: list[str] = []
        self.agents: set[str] = set()
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.private: set[str] = set()
        self.gated: set[str] = set()

    def commit(self, repository: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Add files to a branch of a repository, made if it is not there; the commit's name."""
        commits = self.commits.setdefault(repository, {})
        branches = self.branches.setdefault(repository, {})
        content = {**commits.get(branches.get(branch, ""), {}), **files}
        name = hashlib.sha1(repr((len(commits), sorted(content.items()))).encode()).hexdigest()
        commits[name] = content
        branches[branch] = name
        return name

    def files(self, repository: str, branch: str = "main") -> dict[str, bytes]:
        return self.commits[repository][self.branches[repository][branch]]

    def found(self, path: str, token: str) -> tuple[int, str, str, bytes]:
        """Status, error code, commit and content of a file that is asked for."""
        owner, name, _, revision, *file = map(unquote, path.strip("/").split("/"))
        repository = f"{owner}/{name}"
        if repository not in self.commits or (repository in self.private and token != TOKEN):
            return (404 if token else 401), "RepoNotFound", "", b""
        if repository in self.gated:
            return 403, "GatedRepo", "", b""
        commit = self.branches[repository].get(revision, revision)
        if commit not in self.commits[repository]:
            return 404, "RevisionNotFound", "", b""
        content = self.commits[repository][commit].get("/".join(file))
        if content is None:
            return 404, "EntryNotFound", commit, b""
        return 200, "", commit, content

    def post(self, path: str, body: bytes) -> Answer:
        """Do what a request to the hub's API asks for."""
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if "/preupload/" in path:
            modes = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return 200, {"files": modes}
        if "/branch/" in path:
            repository, branch = _of_api(path)
            self.branches[repository].setdefault(branch, self.branches[repository]["main"])
            return 200, {}
        if "/commit/" in path:
            return self._commit(*_of_api(path), [json.loads(line) for line in body.splitlines()])
        return 404, {"error": path}

    def _create(self, options: dict[str, Any]) -> Answer:
        repository = f"{options['organization']}/{options['name']}"
        if repository in self.commits:
            return 409, {"error": "it is there", "url": repository}
        self.commit(repository, {".gitattributes": b""})
        if options.get("private"):
            self.private.add(repository)
        return 200, {"url": f"{self.address}/{repository}"}

    def _commit(self, repository: str, branch: str, lines: list[dict[str, Any]]) -> Answer:
        values = [line["value"] for line in lines if line["key"] == "file"]
        added = {value["path"]: base64.b64decode(value["content"]) for value in values}
        name = self.commit(repository, added, branch)
        url = f"{self.address}/{repository}/commit/{name}"
        return 200, {"commitUrl": url, "commitOid": name, "success": True}


def _of_api(path: str) -> tuple[str, str]:
    """Return the repository and the branch in a path of the hub's API."""
    _, _, owner, name, _, branch = path.strip("/").split("/")
    return f"{owner}/{name}", unquote(branch)


def handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def token(self) -> str:
            return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

        def note(self) -> str:
            hub.asked.append(f"{self.command} {self.path}")
            hub.agents.add(self.headers.get("User-Agent") or "")
            return urlsplit(self.path).path

        def do_HEAD(self) -> None:
            status, code, commit, content = hub.found(self.note(), self.token())
            self.send_response(status)
            for name, value in (
                ("X-Error-Code", code),
                ("X-Error-Message", code),
                ("X-Repo-Commit", commit),
                ("ETag", f'"{hashlib.sha256(content).hexdigest()}"'),
                ("Content-Length", str(len(content))),
            ):
                if value:
                    self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_GET = do_HEAD  # noqa: N815 (what the server calls)

        def do_POST(self) -> None:
            path = self.note()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not body and self.headers.get("Transfer-Encoding") == "chunked":
                body = b"".join(self.chunks())
            if self.token() == TOKEN:
                self.answer(*hub.post(path, body))
            else:
                self.answer(401, {"error": "log in"})

        def chunks(self) -> Iterator[bytes]:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def answer(self, status: int, content: dict[str, Any]) -> None:
            encoded = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(encoded)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler


@contextmanager
def serving() -> Iterator[FakeHub]:
    """Serve a hub while the block runs."""
    hub = FakeHub()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(hub)) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
