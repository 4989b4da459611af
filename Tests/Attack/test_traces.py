"""A request's trace and id, from the gateway's log to the log of every reader of what came of it."""

import json
import os
import unittest

import installation
import lab
import wire


class Traces(unittest.TestCase):
    def test_GW_17_request_and_trace_are_in_the_log_beside_each_other(self):
        place = lab.shared()
        trace = os.urandom(16).hex()
        answer = place.ask("/nothing", f"traceparent: 00-{trace}-{'1' * 16}-01")
        record = lab.wait(lambda: next((r for r in place.logs() if r.get("trace_id") == trace), None), 5)
        self.assertEqual(record["request_id"], answer.json["request_id"])

    def test_GW_17_one_trace_from_the_gateway_to_the_outbox_and_every_reader(self):
        place = installation.shared()
        support = installation.adopt(place)
        person = support.sign_up()
        trace = os.urandom(16).hex()

        def records():
            lines = place.log.read_text(errors="replace").splitlines()
            return [json.loads(line) for line in lines if trace in line and line.startswith("{")]

        request = wire.request(
            support.PROJECTS,
            "Content-Type: application/json",
            f"Authorization: Bearer {person.access}",
            f"traceparent: 00-{trace}-{'1' * 16}-01",
            method="POST",
            body=json.dumps({"name": f"Traced {trace[:8]}"}).encode(),
            close=True,
        )
        answer = wire.once(place.port, request)
        self.assertEqual(answer.status, 201, answer.body)
        # Gateway and Project say so of the request, Task and Notification of the event.
        found = support.eventually(
            lambda: (r := records()) and len({x["service"] for x in r if x["message"] == "event"}) == 2 and r
        )
        requests = {r.get("service", "gateway") for r in found if r["message"] == "request"}
        self.assertEqual(requests, {"gateway", "project"}, found)
        readers = {r["service"] for r in found if r["message"] == "event" and r["type"] == "project.created"}
        self.assertEqual(readers, {"task", "notification"}, found)
        self.assertEqual(len({r["request_id"] for r in found}), 1, found)
        rows = place.sql(
            f"SELECT type, correlation_id FROM project.outbox WHERE traceparent LIKE '00-{trace}-%' ORDER BY seq"
        )
        self.assertIn(["project.created", found[0]["request_id"]], rows)
