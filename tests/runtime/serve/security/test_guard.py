# SPDX-License-Identifier: Apache-2.0
"""What passes the guard, over a real socket, and what the attacks of browsers get."""

import asyncio
import base64
import socket
from collections.abc import Iterator

import pytest
from fake_engine import FakeEngine, LiveServer, Reply, serving
from starlette.types import Message, Receive, Scope, Send

from aio.runtime.serve.security.guard import Guard, Policy, Presented, authorized
from aio.runtime.serve.security.names import HostNames
from aio.runtime.serve.security.origins import Origins
from aio.runtime.serve.security.token import Token

SECRET = "correct-horse-battery"
BEARER = {"Authorization": f"Bearer {SECRET}"}
APP = "https://app.example.com"
INFER = "/v2/models/fake/infer"
BODY = b'{"inputs": []}'  # not a good request: 400 says that it passed


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Token:
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return Token.read(path)


@pytest.fixture(scope="module")
def locked(token: Token) -> Iterator[LiveServer]:
    """Yield a server that wants the token."""
    with serving(FakeEngine, policy=Policy(token=token, origins=Origins([APP]))) as server:
        server.wait_for(server.announced.is_set)
        yield server


@pytest.fixture(scope="module")
def open_server() -> Iterator[LiveServer]:
    """Yield a server without a token, as on the loopback interface."""
    with serving(FakeEngine, policy=Policy(hosts=HostNames(["device.local"]))) as server:
        server.wait_for(server.announced.is_set)
        yield server


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
@pytest.mark.parametrize("headers", [{}, {"Host": "evil.org"}, {"Origin": "null"}])
def test_probes_need_nothing(locked: LiveServer, path: str, headers: dict[str, str]) -> None:
    assert locked.request("GET", path, headers=headers).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/state",
        "/v2",
        "/metrics",
        INFER,
        "/no/such/path",
        "/v2/health/live/",
        "//v2/health/live",
        "/v2/health/live/../../models/fake",
        "/V2/health/live",
        "/v2/health/live%00",
        "/v2/models/fake/ready?x=/v2/health/live",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_everything_else_needs_the_token(locked: LiveServer, path: str, method: str) -> None:
    reply = locked.request(method, path, BODY if method == "POST" else None)
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == 'Bearer realm="aio-serve"'
    assert "the token is missing" in reply.json["error"]


def test_a_probe_is_not_posted_to(locked: LiveServer) -> None:
    assert locked.request("POST", "/v2/health/live", b"").status == 401


def test_the_token_opens(locked: LiveServer) -> None:
    assert locked.request("GET", "/v2", headers=BEARER).status == 200
    assert locked.request("POST", INFER, BODY, BEARER).status == 400
    assert locked.request("GET", "/metrics", headers=BEARER).status == 200


@pytest.mark.parametrize(
    "value",
    [
        f"bearer {SECRET}",
        f"BEARER {SECRET}",
        f"Bearer  {SECRET}",
    ],
)
def test_ways_to_present_it(locked: LiveServer, value: str) -> None:
    assert locked.request("GET", "/v2", headers={"Authorization": value}).status == 200


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        SECRET,
        f"Token {SECRET}",
        f"Bearer{SECRET}",
        f"Bearer {SECRET}x",
        f"Bearer {SECRET[:-1]}",
        f"Bearer {SECRET.upper()}",
        f"Bearer {SECRET}, Bearer {SECRET}",
        f"Bearer {SECRET} {SECRET}",
        f'Bearer "{SECRET}"',
        "Bearer " + "x" * 5000,
        "Bearer \xff\xfe",
        f"Basic {SECRET}",
        "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode(),
        "Negotiate abc",
    ],
)
def test_what_does_not_open(locked: LiveServer, value: str) -> None:
    reply = locked.request("GET", "/v2", headers={"Authorization": value})
    assert reply.status == 401
    assert SECRET not in reply.body.decode()
    if value:
        assert 'error="invalid_token"' in reply.headers["www-authenticate"]


@pytest.mark.parametrize("path", ["/", "/page/main.js"])
def test_the_page_comes_without_it_and_its_data_does_not(locked: LiveServer, path: str) -> None:
    assert locked.request("GET", path).status == 200
    for data in ("/state", "/events", "/page"):
        assert locked.request("GET", data).status == 401


def raw_request(port: int, head: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(head.encode("latin-1"))
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize(
    "headers",
    [
        f"Host: x\r\nAuthorization: Bearer {SECRET}\r\nAuthorization: Bearer {SECRET}\r\n",
        f"Host: x\r\nAuthorization: Bearer wrong\r\nAuthorization: Bearer {SECRET}\r\n",
        f"Host: x\r\nOrigin: {APP}\r\nOrigin: http://x\r\nAuthorization: Bearer {SECRET}\r\n",
        f"Host: x\r\nHost: y\r\nAuthorization: Bearer {SECRET}\r\n",
    ],
)
def test_repeated_headers_are_refused(locked: LiveServer, headers: str) -> None:
    answer = raw_request(locked.port, f"GET /v2 HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("host", ["evil.org", "evil.org:8000", "localhost.evil.org", "a b"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/v2"), ("POST", INFER), ("GET", "/metrics")])
def test_dns_rebinding(open_server: LiveServer, host: str, method: str, path: str) -> None:
    # The page evil.org has made its name point here; Host and Origin agree with each other.
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    reply = open_server.request(method, path, BODY if method == "POST" else None, headers)
    assert reply.status == 421
    assert "--allowed-host" in reply.json["error"]


@pytest.mark.parametrize("host", ["localhost", "device.local:1", "10.0.0.5", "[::1]:9"])
def test_names_of_the_server(open_server: LiveServer, host: str) -> None:
    assert open_server.request("GET", "/v2", headers={"Host": host}).status == 200


def test_a_request_without_host(open_server: LiveServer) -> None:
    answer = raw_request(open_server.port, "GET /v2 HTTP/1.0\r\n\r\n")
    assert answer.split()[1] == b"400"
    probe = raw_request(open_server.port, "GET /v2/health/ready HTTP/1.0\r\n\r\n")
    assert probe.split()[1] == b"200"


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json"]
)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.org"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", [INFER, "/control", "/v2/repository/models/fake/unload"])
def test_cross_site_posts(
    open_server: LiveServer, kind: str, headers: dict[str, str], path: str
) -> None:
    reply = open_server.request("POST", path, BODY, {"Content-Type": kind, **headers})
    assert reply.status == 403
    assert "access-control-allow-origin" not in reply.headers


def test_the_token_does_not_help_another_site(locked: LiveServer) -> None:
    headers = {**BEARER, "Origin": "http://evil.org"}
    assert locked.request("POST", INFER, BODY, headers).status == 403


def test_the_own_page(open_server: LiveServer, locked: LiveServer) -> None:
    origin = f"http://127.0.0.1:{open_server.port}"
    headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
    reply = open_server.request("POST", INFER, BODY, headers)
    assert reply.status == 400
    assert "access-control-allow-origin" not in reply.headers
    own = {**BEARER, "Origin": f"http://127.0.0.1:{locked.port}"}
    assert locked.request("POST", INFER, BODY, own).status == 400


def test_an_allowed_page_is_told_what_it_may_send(locked: LiveServer) -> None:
    asked = {"Origin": APP, "Access-Control-Request-Method": "POST"}
    reply = locked.request("OPTIONS", INFER, headers=asked)
    assert reply.status == 204
    assert reply.headers["access-control-allow-origin"] == APP
    assert "authorization" in reply.headers["access-control-allow-headers"]


def test_an_allowed_page_reads_answers_and_errors(locked: LiveServer) -> None:
    for headers, status in ((BEARER, 200), ({}, 401)):
        reply = locked.request("GET", "/v2", headers={**headers, "Origin": APP})
        assert reply.status == status
        assert reply.headers["access-control-allow-origin"] == APP
        assert reply.headers["vary"] == "origin"


def test_another_page_is_told_nothing(locked: LiveServer) -> None:
    asked = {"Origin": "http://evil.org", "Access-Control-Request-Method": "POST"}
    reply: Reply = locked.request("OPTIONS", INFER, headers=asked)
    assert reply.status == 403
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_metrics_may_be_public(token: Token) -> None:
    guard = Guard(_never, Policy(token=token, public_metrics=True))
    nothing = Presented()
    assert guard.refusal("GET", "/metrics", nothing, local=False) is None
    for method, path in (("POST", "/metrics"), ("GET", "/metrics/"), ("GET", "/v2")):
        refusal = guard.refusal(method, path, nothing, local=False)
        assert refusal is not None
        assert refusal.status == 401


def test_names_do_not_matter_on_a_unix_socket(token: Token) -> None:
    guard = Guard(_never, Policy(hosts=HostNames()))
    sent = Presented.of([(b"host", b"anything at all")])
    assert guard.refusal("GET", "/v2", sent, local=True) is None
    refusal = guard.refusal("GET", "/v2", sent, local=False)
    assert refusal is not None
    assert refusal.status == 421
    # A page behind a proxy on the socket is still one that can be attacked.
    sent = Presented.of([(b"host", b"device.example"), (b"origin", b"https://evil.org")])
    refusal = guard.refusal("POST", "/v2", sent, local=True)
    assert refusal is not None
    assert refusal.status == 403


@pytest.mark.parametrize(
    ("server", "passes"),
    [(("/run/aio/serve.sock", None), True), (None, True), (("127.0.0.1", 8000), False)],
)
def test_a_unix_socket_is_known_by_its_address(
    server: tuple[str, int | None] | None, passes: bool
) -> None:
    called: list[str] = []
    statuses: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope["path"])

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def receive() -> Message:
        return {"type": "http.request"}

    async def ask() -> None:
        headers = [(b"host", b"a name")]
        scope = {"type": "http", "method": "GET", "path": "/v2", "headers": headers}
        await Guard(app, Policy(hosts=HostNames()))({**scope, "server": server}, receive, send)

    asyncio.run(ask())
    assert (called, statuses) == ((["/v2"], []) if passes else ([], [421]))


def test_authorized_reads_bytes(token: Token) -> None:
    assert authorized(token, b"Bearer " + SECRET.encode())
    assert not authorized(token, b"\xff\xfe \xfd")


async def _never(*_: object) -> None:
    raise AssertionError("the application was called")
