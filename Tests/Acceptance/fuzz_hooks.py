"""Hooks of schemathesis for fuzz.py: a live token that comes back after the fuzzer has ended its session, and a check
that takes the place of one default, where that cannot hold in principle.

`positive_data_acceptance` wants every request that its schema allows to be accepted. A schema cannot say which project
there is, what the time is, or which link was mailed; such a refusal is taken here if its codes name such a reason, and
is a failure otherwise. fuzz.toml lets the statuses through to this check.
"""
import json
import os
import re
import threading
import urllib.error
import urllib.request

import schemathesis

import fuzz

ORIGIN = os.environ["TASKFLOW_FUZZ_ORIGIN"]
CREDENTIALS = {"email": os.environ["TASKFLOW_FUZZ_EMAIL"], "password": os.environ["TASKFLOW_FUZZ_PASSWORD"]}

# What no schema can say, by code: what is there, what is known, what the time is, what is on a list of passwords.
OF_STATE = {
    # 422: named in a body, but not there or not to be had.
    "not-found", "inactive-user", "not-a-project-collaborator", "other-project", "own-parent", "nested-subtask",
    "name-mismatch", "unknown-time-zone", "duplicate",
    # 422: judged with the clock, and with dates beside it.
    "in-past", "before-start", "outside-parent", "bad-date",
    # 422: only the clock sets OVERDUE, but it may be repeated where it is so.
    "not-settable",
    # 422: credentials, and what cannot be a password.
    "wrong-password", "same-password", "too-common", "mismatch", "invalid",
    # 422: the bytes of a picture; a key that was used for something else.
    "bad-picture", "idempotency-mismatch",
    # 422: what a GET shows may be repeated, any other value not.
    "read-only",
    # 400: a link or cursor that was never given out.
    "invalid-link", "bad-cursor",
}
_token = None
_lock = threading.Lock()


def _log_in():
    request = urllib.request.Request(ORIGIN + "/api/account/login/", json.dumps(CREDENTIALS).encode(),
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["access"]
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise
    # The fuzzer has locked itself out: wrong passwords, a deactivated admin, a deleted organization. On with another.
    admin = fuzz.found()
    CREDENTIALS["email"] = admin.email
    return admin.access


@schemathesis.auth(refresh_interval=None)
class LiveToken:
    def get(self, case, context):
        global _token
        with _lock:
            if _token is None:
                _token = _log_in()
            return _token

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def after_call(context, case, response):
    """A session that the fuzzer has ended: the next request gets another one."""
    global _token
    if response.status_code != 401 or context is None:
        return
    if response.json().get("code") in ("session-changed", "token-expired"):
        with _lock:
            _token = None


@schemathesis.check
def refusals_have_a_reason_that_no_schema_can_say(context, response, case):
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code not in (400, 412, 422):
        return
    if response.status_code == 412:
        # The version that If-Match names is not the present one.
        assert any(name.lower() == "if-match" for name in case.headers or {}), response.text
        return
    body = response.json()
    codes = {error["code"] for error in body.get("errors", [])} or {body["code"]}
    sent = response.request.body or b""
    if re.search(rb"\d\.0+[,}\]\s]", sent if isinstance(sent, bytes) else sent.encode()):
        # To JSON Schema 2.0 is an integer; here an integer has no fraction.
        codes -= {"wrong-type"}
    assert codes <= OF_STATE, f"refused with {sorted(codes - OF_STATE)}: {response.text}"
