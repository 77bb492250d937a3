"""A hub on this machine: what huggingface_hub 2.4 asks of its HTTP API, with faults on demand."""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN, USER = "hf_standin", "ann"
LARGE = (".safetensors", ".parquet", ".mp4", ".png", ".bin", ".pkl")
PART_BYTES = 200_000
PAGE = 7


@dataclass
class File:
    content: bytes
    large: bool
    claimed_size: int | None = None

    @property
    def blob(self):
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def sha256(self):
        return hashlib.sha256(self.content).hexdigest()

    @property
    def oid(self):
        return self.sha256 if self.large else self.blob


@dataclass
class Repository:
    private: bool = False
    gated: bool = False
    commits: dict = field(default_factory=dict)  # hash → {path: File}
    branches: dict = field(default_factory=dict)
    tags: dict = field(default_factory=dict)
    messages: list = field(default_factory=list)

    def commit(self, files, branch="main", message=""):
        digest = hashlib.sha1(f"{len(self.commits)} {branch}".encode()).hexdigest()
        self.commits[digest] = files
        self.branches[branch] = digest
        self.messages.append(message)
        return digest

    def at(self, revision):
        revision = self.branches.get(revision) or self.tags.get(revision) or revision
        return revision if revision in self.commits else None

    def files(self, revision="main"):
        return self.commits[self.at(revision)]


@dataclass
class Fault:
    """What goes wrong, on requests whose "METHOD path" matches."""

    matching: str
    times: int
    status: int | None = None
    headers: dict = field(default_factory=dict)
    cut_after: int | None = None
    after: int = 0  # so many requests go well before


class StandIn:
    """``with StandIn() as hub``: repositories in memory, requests in a list."""

    def __init__(self):
        self.repositories, self.store, self.parts, self.faults, self.log = {}, {}, {}, [], []
        self.ignore_ranges = False
        self.may_write = True
        self.lock = threading.RLock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def fail(self, matching, times=1, **how):
        self.faults.append(Fault(matching, times, **how))

    def repository(self, name, kind="model"):
        return self.repositories[kind, name]

    def make(self, name, kind="model", files=None, **settings):
        made = self.repositories[kind, name] = Repository(**settings)
        made.commit({p: c if isinstance(c, File) else File(c, p.endswith(LARGE)) for p, c in (files or {}).items()})
        return made

    def requests(self, matching):
        return [line for line in self.log if re.search(matching, line)]


class _Handler(BaseHTTPRequestHandler):
    hub: StandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _serve(self):
        hub = self.hub
        self.body = None
        path = unquote(urlsplit(self.path).path)
        line = f"{self.command} {path}"
        with hub.lock:
            hub.log.append(line)
            fault = next((f for f in hub.faults if f.times and re.search(f.matching, line)), None)
            if fault and fault.after:
                fault.after, fault = fault.after - 1, None
            elif fault:
                fault.times -= 1
        if fault and fault.status:
            self._read()
            return self._json({"error": "injected"}, fault.status, fault.headers)
        if fault and self.command in ("PUT", "POST"):
            self.rfile.read(min(fault.cut_after, int(self.headers.get("Content-Length", 0))))
            return self._drop()
        self.cut_after = fault.cut_after if fault else None
        for method, pattern, act in ROUTES:
            found = re.fullmatch(pattern, path)
            if method == self.command and found:
                return act(self, **found.groupdict())
        self._read()
        return self._json({"error": f"no route {line}"}, 404)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def _drop(self):
        self.close_connection = True
        self.connection.close()

    def _read(self):
        if self.body is None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                blocks = []
                while size := int(self.rfile.readline(), 16):
                    blocks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                self.body = b"".join(blocks)
            else:
                self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return self.body

    def _answer(self, content, status=200, headers=None):
        self._read()
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.cut_after is not None:
            self.wfile.write(content[: self.cut_after])
            self._drop()
        else:
            self.wfile.write(content)

    cut_after = None

    def _json(self, value, status=200, headers=None):
        self._answer(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _error(self, status, code):
        self._json({"error": code}, status, {"X-Error-Code": code, "X-Error-Message": code})

    @property
    def token(self):
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None

    def _repository(self, kind, name):
        repository = self.hub.repositories.get((kind.removesuffix("s"), name))
        if repository is None or (repository.private and self.token != TOKEN):
            return self._error(404 if self.token else 401, "RepoNotFound")
        if repository.gated and self.command != "POST":
            return self._error(403, "GatedRepo")
        return repository

    def _writable(self, kind, name):
        if self.token != TOKEN:
            return self._json({"error": "Invalid username or password."}, 401)
        if not self.hub.may_write:
            return self._json({"error": "no write permission"}, 403, {"X-Error-Message": "no write permission"})
        return self._repository(kind, name)

    def whoami(self):
        if self.token != TOKEN:
            return self._json({"error": "Invalid credentials in Authorization header"}, 401)
        return self._json({"name": USER, "type": "user", "orgs": []})

    def create(self):
        asked = json.loads(self._read())
        kind, name = asked.get("type") or "model", f"{asked['organization']}/{asked['name']}"
        if self.token != TOKEN:
            return self._json({"error": "Invalid username or password."}, 401)
        if not self.hub.may_write or asked["organization"] != USER:
            return self._json({"error": "forbidden"}, 403, {"X-Error-Message": "you may not create there"})
        url = f"{self.hub.endpoint}/{'datasets/' * (kind == 'dataset')}{name}"
        if (kind, name) in self.hub.repositories:
            return self._json({"error": "You already created this repo", "url": url}, 409)
        attributes = File(b"*.safetensors filter=lfs\n", False)
        self.hub.make(name, kind, {".gitattributes": attributes}, private=asked.get("visibility") == "private")
        return self._json({"url": url, "name": name})

    def info(self, kind, name, revision="main"):
        repository = self._repository(kind, name)
        if repository is None:
            return None
        commit = repository.at(revision)
        if commit is None:
            return self._error(404, "RevisionNotFound")
        return self._json({"id": name, "sha": commit, "private": repository.private, "gated": repository.gated})

    def listing(self, kind):
        author = parse_qs(urlsplit(self.path).query).get("author", [""])[0]
        names = [n for k, n in self.hub.repositories if k == kind.removesuffix("s") and n.startswith(f"{author}/")]
        return self._json([{"id": name} for name in names])

    def tree(self, kind, name, revision):
        repository = self._repository(kind, name)
        if repository is None:
            return None
        commit = repository.at(revision)
        if commit is None:
            return self._error(404, "RevisionNotFound")
        query = parse_qs(urlsplit(self.path).query)
        start = int(query.get("cursor", ["0"])[0])
        rows = [{"type": "directory", "path": "meta", "oid": "0" * 40, "size": 0}]
        for path, file in sorted(repository.commits[commit].items()):
            size = len(file.content) if file.claimed_size is None else file.claimed_size
            row = {"type": "file", "path": path, "size": size, "oid": file.blob}
            if file.large:
                row["lfs"] = {"oid": file.sha256, "size": size, "pointerSize": 130}
            rows.append(row)
        more = start + PAGE < len(rows)
        link = f'<{self.hub.endpoint}{urlsplit(self.path).path}?recursive=True&cursor={start + PAGE}>; rel="next"'
        return self._json(rows[start : start + PAGE], headers={"Link": link} if more else {})

    def refs(self, kind, name):
        repository = self._repository(kind, name)
        if repository is None:
            return None

        def rows(refs, where):
            return [{"name": n, "ref": f"refs/{where}/{n}", "targetCommit": c} for n, c in refs.items()]

        return self._json(
            {"branches": rows(repository.branches, "heads"), "tags": rows(repository.tags, "tags"), "converts": []}
        )

    def validate(self):
        content = json.loads(self._read())["content"]
        try:
            found = yaml.safe_load(content.split("---")[1]) if content.startswith("---") else {}
            errors = [] if isinstance(found, dict) else [{"message": "no mapping"}]
        except yaml.YAMLError as error:
            errors = [{"message": str(error)}]
        return self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def preupload(self, kind, name, revision):
        repository = self._writable(kind, name)
        if repository is None:
            return None
        if repository.at(revision) is None:
            return self._error(404, "RevisionNotFound")
        there = repository.files(revision)
        rows = [
            {
                "path": f["path"],
                "uploadMode": "lfs" if f["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
                "oid": there[f["path"]].oid if f["path"] in there else None,
            }
            for f in json.loads(self._read())["files"]
        ]
        return self._json({"files": rows})

    def batch(self, kind, name):
        if self._writable(kind or "models", name) is None:
            return None
        rows = []
        for asked in json.loads(self._read())["objects"]:
            row = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub.store:
                base = f"{self.hub.endpoint}/lfs"
                upload = {"href": f"{base}/whole/{asked['oid']}", "header": {}}
                if asked["size"] > PART_BYTES:
                    count = -(-asked["size"] // PART_BYTES)
                    parts = {f"{i:05d}": f"{base}/part/{asked['oid']}/{i}" for i in range(1, count + 1)}
                    upload = {"href": f"{base}/complete/{asked['oid']}", "header": {"chunk_size": PART_BYTES, **parts}}
                row["actions"] = {"upload": upload, "verify": {"href": f"{base}/verify/{asked['oid']}"}}
            rows.append(row)
        return self._json({"objects": rows, "transfer": "basic"})

    def whole(self, oid):
        content = self._read()
        if hashlib.sha256(content).hexdigest() != oid:
            return self._json({"error": "other content"}, 400)
        self.hub.store[oid] = content
        return self._json({})

    def part(self, oid, number):
        self.hub.parts[oid, int(number)] = self._read()
        return self._answer(b"", headers={"ETag": f'"{number}"'})

    def complete(self, oid):
        numbers = [row["partNumber"] for row in json.loads(self._read())["parts"]]
        content = b"".join(self.hub.parts.pop((oid, number)) for number in numbers)
        if hashlib.sha256(content).hexdigest() != oid:
            return self._json({"error": "other content"}, 400)
        self.hub.store[oid] = content
        return self._json({})

    def verify(self, oid):
        size = json.loads(self._read())["size"]
        return self._json({}, 200 if len(self.hub.store.get(oid, b"")) == size else 404)

    def commit(self, kind, name, revision):
        repository = self._writable(kind, name)
        if repository is None:
            return None
        files, message = dict(repository.files(revision)), ""
        for line in self._read().splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                message = value["summary"]
            elif item["key"] == "file":
                files[value["path"]] = File(base64.b64decode(value["content"]), False)
            elif item["key"] == "lfsFile":
                files[value["path"]] = File(self.hub.store[value["oid"]], True)
            else:
                del files[value["path"]]
        digest = repository.commit(files, revision, message)
        return self._json({"commitUrl": f"{self.hub.endpoint}/{name}/commit/{digest}", "commitOid": digest})

    def branch(self, kind, name, branch):
        repository = self._writable(kind, name)
        if repository is not None:
            self._read()
            repository.branches[branch] = repository.branches["main"]
            self._json({})

    def tag(self, kind, name, revision):
        repository = self._writable(kind, name)
        if repository is None:
            return None
        if self.command == "DELETE":
            del repository.tags[revision]
            return self._json({})
        tag = json.loads(self._read())["tag"]
        if tag in repository.tags:
            return self._json({"error": "there"}, 409)
        repository.tags[tag] = repository.at(revision)
        return self._json({})

    def resolve(self, kind, name, revision, path):
        repository = self._repository(kind or "models", name)
        if repository is None:
            return None
        commit = repository.at(revision)
        if commit is None:
            return self._error(404, "RevisionNotFound")
        file = repository.commits[commit].get(path)
        if file is None:
            return self._error(404, "EntryNotFound")
        if file.large:
            self.hub.store[file.sha256] = file.content
            return self._answer(
                b"", 302, {"Location": f"{self.hub.endpoint}/cdn/{file.sha256}", "X-Repo-Commit": commit}
            )
        return self._ranged(file.content, {"ETag": f'"{file.blob}"', "X-Repo-Commit": commit})

    def cdn(self, oid):
        return self._ranged(self.hub.store[oid], {"ETag": f'"{oid}"'})

    def _ranged(self, content, headers):
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if found is None or self.hub.ignore_ranges:
            return self._answer(content, 200, headers)
        start = int(found[1])
        self.hub.log.append(f"RANGE {start}")
        rest = content[start:]
        return self._answer(rest, 206, {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"})


_NAME = r"(?P<name>[^/]+/[^/]+)"
_API = rf"/api/(?P<kind>models|datasets)/{_NAME}"
_PAGE = rf"/(?:(?P<kind>datasets)/)?{_NAME}"
ROUTES = [
    ("GET", r"/api/whoami-v2", _Handler.whoami),
    ("POST", r"/api/repos/create", _Handler.create),
    ("POST", r"/api/validate-yaml", _Handler.validate),
    ("GET", r"/api/(?P<kind>models|datasets)", _Handler.listing),
    ("GET", _API, _Handler.info),
    ("GET", rf"{_API}/revision/(?P<revision>.+)", _Handler.info),
    ("GET", rf"{_API}/tree/(?P<revision>.+)", _Handler.tree),
    ("GET", rf"{_API}/refs", _Handler.refs),
    ("POST", rf"{_API}/preupload/(?P<revision>.+)", _Handler.preupload),
    ("POST", rf"{_API}/commit/(?P<revision>.+)", _Handler.commit),
    ("POST", rf"{_API}/branch/(?P<branch>.+)", _Handler.branch),
    ("POST", rf"{_API}/tag/(?P<revision>.+)", _Handler.tag),
    ("DELETE", rf"{_API}/tag/(?P<revision>.+)", _Handler.tag),
    ("POST", rf"{_PAGE}\.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", r"/lfs/whole/(?P<oid>\w+)", _Handler.whole),
    ("PUT", r"/lfs/part/(?P<oid>\w+)/(?P<number>\d+)", _Handler.part),
    ("POST", r"/lfs/complete/(?P<oid>\w+)", _Handler.complete),
    ("POST", r"/lfs/verify/(?P<oid>\w+)", _Handler.verify),
    ("GET", rf"{_PAGE}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.resolve),
    ("GET", r"/cdn/(?P<oid>\w+)", _Handler.cdn),
]
