"""What reaches the log: no values of variables, no secrets, no line without end, nothing that a terminal obeys."""

import subprocess
import sys

import orjson
import pytest

from connectors.logs import MAX_LINE, own_secrets, safe_text

PROGRAM = """
import logging
import structlog
from aiohttp.http_exceptions import InvalidURLError
from connectors import logs

logs.configure("{format}", "info", process="test")
log = structlog.get_logger("ours")

def fail():
    value_of_a_variable = "canary-" + "local"
    other = [value_of_a_variable] * 1000
    raise RuntimeError("Basic Y2FuYXJ5Ong= http://h/hooks/list/canary-path?token=canary-token " + str(len(other)))

try:
    fail()
except RuntimeError:
    log.exception("ours failed")
    logging.getLogger("theirs").exception("theirs failed")
    log.info("nested", settings={{"password": ["canary-of-the-environment"]}})
try:
    raise InvalidURLError("POST /hooks/list/canary-unparsable")
except InvalidURLError:
    logging.getLogger("aiohttp.server").exception("Error handling request from %s", "192.0.2.7")
log.info("long", value="v" * 1_000_000, rows=[{{"k": "v" * 100}}] * 10_000)
logging.getLogger("theirs").warning("w" * 1_000_000)
log.info("obeyed\\x1b[2J", reason="\\x1b]0;title\\x07")
"""


@pytest.fixture(params=["json", "console"])
def written(request) -> str:
    environment = {"PYTHONPATH": ":".join(sys.path), "CM_API_KEY": "canary-of-the-environment"}
    program = PROGRAM.format(format=request.param)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=60, check=True)
    text = done.stderr.decode()
    if request.param == "json":
        for line in text.splitlines():
            orjson.loads(line)
    return text


def test_neither_variables_nor_secrets_reach_the_log(written):
    assert "canary" not in written
    assert "ours failed" in written
    assert "theirs failed" in written
    assert written.count("Traceback") == 2


def test_a_request_that_cannot_be_parsed_is_one_line(written):
    (line,) = [line for line in written.splitlines() if "InvalidURLError" in line]
    assert "request cannot be parsed: InvalidURLError" in line
    assert "error" not in line.replace("InvalidURLError", "")


def test_lines_are_bounded_and_hold_nothing_that_a_terminal_obeys(written):
    assert max(map(len, written.splitlines())) < MAX_LINE
    assert len(written) < 20_000
    assert "characters left out" in written
    assert "\x1b" not in written


def test_the_processs_own_secrets_are_hidden_by_their_value():
    environment = {"CM_API_KEY": "longer-than-the-other", "WEBHOOK_SECRET": "longer-than", "HOME": "/home/longer"}
    secrets = own_secrets(environment | {"CONTROL_ENCRYPTION_KEY": "abc"})
    assert secrets == ("longer-than-the-other", "longer-than")
    assert safe_text("longer-than-the-other, longer-than, /home/longer", secrets) == "***, ***, /home/longer"
