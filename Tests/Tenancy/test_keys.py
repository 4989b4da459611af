"""TEN-10: what is kept in Redis and what pictures are called names the organization; TEN-7: the class of time.

On an installation of its own, with rate limits on, because their counters are part of what is looked at.
"""
import os
import re
import statistics
import subprocess
import time

import catalogue
import installation
import support
from support import PROJECTS, TASKS
from world import Organization, unused

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
STREAM = r"\{(?:auth|organization|project|task|notification)\.\d\d\}"
# Keys that hold nothing of one organization, or what no other can name.
WITHOUT_ORGANIZATION = {
    r"\{auth\}:confirmed": "the run id of the server",
    r"\{auth\}:telling:[\w-]+": "a mark of the service's own",
    r"\{auth\}:kid:[\w-]+": "a revoked signing key",
    rf"\{{auth\}}:session:{UUID}": "by session: random, of one account, found by a signed token only",
    rf"\{{auth\}}:position:{UUID}": "by session; holds numbers of streams and nothing else",
    rf"ev:{STREAM}": "a shard of the log; every entry names its organization",
    rf"ev:{STREAM}:cursors": "how far each reader is",
    rf"ev:{STREAM}:lineage": "which log the stream was made of",
    r"\{rate:[\w-]+:\d+:ip:[0-9a-f.:]+\}": "an address, before anybody is known",
    rf"\{{rate:[\w-]+:\d+:session:{UUID}\}}": "by session",
}


class Keys(support.Case):
    @classmethod
    def setUpClass(cls):
        cls.there = installation.Installation(
            os.environ["TASKFLOW_ACCEPTANCE_BINARY"], settings={"TASKFLOW_RATE_LIMITS": "on"})
        cls.before = (support.ORIGIN, support.MAIL)
        support.ORIGIN, support.MAIL = cls.there.origin, cls.there.mail
        cls.one, cls.other = Organization(head_start=2, people=False), Organization(people=False)

    @classmethod
    def tearDownClass(cls):
        support.ORIGIN, support.MAIL = cls.before
        assert cls.there.stop()

    def keys(self):
        done = subprocess.run(["redis-cli", "-s", self.there.redis_socket(), "--scan"], capture_output=True, text=True)
        return done.stdout.split()

    def test_TEN_10_redis_keys_name_the_organization(self):
        for organization in (self.one, self.other):
            for path in (TASKS, PROJECTS, "/api/account/"):
                self.assertEqual(organization.admin.get(path).status, 200)
            organization.admin.post(support.REFRESH, {"refresh": organization.admin.refresh})
        keys, named = self.keys(), 0
        for key in keys:
            if any(re.fullmatch(pattern, key) for pattern in WITHOUT_ORGANIZATION):
                continue
            # Whose rate, whose anything: the organization first, then what belongs to it.
            self.assertRegex(key, rf"^\{{[\w-]+:[\w-]+:\d+:(?:user|organization):{UUID}(?::{UUID})?\}}$",
                             "a key without an organization that is not declared")
            self.assertTrue(self.one.id in key or self.other.id in key, key)
            named += 1
        self.assertGreaterEqual(named, 4, keys)
        self.assertGreater(len(keys), 80)

    def test_TEN_10_no_text_of_an_organization_is_in_a_key_or_in_what_a_session_keeps(self):
        for key in self.keys():
            for organization in (self.one, self.other):
                self.assertNotIn(organization.canary, key)
                self.assertNotIn(organization.mark, key)

    def test_TEN_10_pictures_lie_below_their_organization(self):
        for organization in (self.one, self.other):
            self.assertTrue(organization.picture.startswith(f"/media/{organization.id}/"), organization.picture)
            stored = list((self.there.media() / organization.id).iterdir())
            self.assertEqual([p.name for p in stored], [organization.picture.rsplit("/", 1)[1]])

    def test_TEN_10_idempotency_records_are_keyed_by_organization(self):
        headers = {"Idempotency-Key": "shared-key"}
        for organization in (self.one, self.other):
            self.assertEqual(organization.admin.post(PROJECTS, {"name": "Same"}, headers=headers).status, 201)
        found = catalogue.psql(self.there.administrator(), "SELECT organization_id FROM project.idempotency;")
        self.assertEqual(sorted(set(found.split())), sorted([self.one.id, self.other.id]))

    def test_TEN_7_foreign_and_missing_take_the_same_time(self):
        """Medians of interleaved tries; the bound is wide, going on to look at a foreign row would be far outside."""
        for path, number in ((f"{TASKS}{{}}/", self.one.task), (f"{PROJECTS}{{}}/", self.one.project)):
            times = {"foreign": [], "missing": []}
            for _ in range(60):
                for kind, value in (("foreign", number), ("missing", unused("task"))):
                    started = time.perf_counter()
                    self.assertEqual(self.other.admin.get(path.format(value)).status, 404)
                    times[kind].append(time.perf_counter() - started)
            one, two = (statistics.median(times[k]) * 1000 for k in ("foreign", "missing"))
            print(f"{path}: {one:.2f} ms foreign, {two:.2f} ms missing")
            self.assertLess(abs(one - two), max(2.0, 0.3 * two))
