"""The process that serves decorated classes: what is heard of it, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from pathlib import Path

import pytest

from authz import backend, wire
from authz.errors import StateError, UsageError
from harness import http, process
from harness.waiting import until

KNOWN = (wire.GATEWAY_SECRET, "s3cret")

CLASS = """
import os, sys, subprocess, time
from authz.frameworks import endpoints, messages, remote

class Said(messages.Message):
    text = messages.StringField(1)

@endpoints.api(name="an", version="v1", base_path="/")
class An(remote.Service):
    @endpoints.method(response_message=Said, http_method="GET")
    def api(self, request):
        return Said(text=os.environ["AUTHZ_GATEWAY_SECRET"])

    @endpoints.method(response_message=Said, http_method="GET")
    def who(self, request):
        user = endpoints.get_current_user()
        return Said(text=user and user.subject)

    @endpoints.method(http_method="POST")
    def end(self, request):
        sys.stderr.write("x" * 200_000 + "\\nalmost\\nthe end")
        sys.stderr.flush()
        os._exit(3)
"""


@contextlib.asynccontextmanager
async def serving(directory: Path, text: str = CLASS):
    (directory / "a_served.py").write_text(text)
    async with backend.serving(["a_served:An"], directory, secret="s3cret", header_prefix="X-") as running:
        yield running, int(running.url.rpartition(":")[2])


async def test_it_serves_and_knows_the_secret(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with serving(tmp_path, CLASS + "\nprint('imported', flush=True)\n") as (_, port):
        answer = await http.fetch(port, "GET", "/an/v1/api", [KNOWN])
        assert (answer.status, answer.json()) == (200, {"text": "s3cret"})
        # The gateway's prefix is "X-" here.
        user = [(f"{prefix}API-UserInfo", "eyJzdWIiOiJhbm4ifQ") for prefix in ("X-", "X-Endpoint-")]
        answers = [await http.fetch(port, "GET", "/an/v1/who", [KNOWN, one]) for one in user]
        assert [answer.json() for answer in answers] == [{"text": "ann"}, {}]
        # Nobody gets around the gateway, whoever else may use this machine.
        for headers in ([], [(KNOWN[0], "s3cre")], [KNOWN, KNOWN], [KNOWN, (KNOWN[0], "")]):
            assert (await http.fetch(port, "GET", "/an/v1/api", headers)).status == 403
    assert capfd.readouterr().err == "imported\n"
    with pytest.raises(OSError, match=r"[Cc]onnect"):
        await http.fetch(port, "GET", "/an/v1/api")


async def test_its_end_has_its_last_words(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with serving(tmp_path) as (running, port):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await http.fetch(port, "POST", "/an/v1/end", [KNOWN])
        with pytest.raises(StateError, match=r"a_served:An ended with exit code 3: .*almost \| the end"):
            await running.ended()
    assert len(capfd.readouterr().err) > 200_000


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("import nothing_at_all", UsageError, "a_served.py:1: ModuleNotFoundError"),
        ("An = 3", UsageError, "3 is no API"),
        ("import os\nprint('bye', flush=True)\nos._exit(4)", StateError, "a_served:An ended with exit code 4: bye"),
        ("import os\nos.kill(os.getpid(), 9)", StateError, "a_served:An ended with exit code -9"),
    ],
)
async def test_what_cannot_be_served_is_said(tmp_path: Path, text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        async with serving(tmp_path, text):
            pass


async def test_what_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_START_SECONDS", 0.2)
    monkeypatch.setattr(backend, "_END_SECONDS", 0.2)
    hanging = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)"
    with pytest.raises(StateError, match="does not serve after"):
        async with serving(tmp_path, hanging):
            pass


async def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    more = f"\nchild = subprocess.Popen(['sleep', '60'])\nopen({str(started)!r}, 'w').write(str(child.pid))\n"
    async with serving(tmp_path, CLASS + more):
        pid = int(started.read_text())
        assert process.is_running(pid)
    await until(lambda: not process.is_running(pid))
    assert pid != os.getpid()
