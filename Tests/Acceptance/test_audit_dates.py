"""Section 6 line by line: dates, and the overdue clock."""
import zoneinfo

from support import *


class Dates(TaskCase):
    @classmethod
    def setUpClass(cls):
        cls.admin = sign_up()
        cls.id = project(cls.admin)["id"]
        cls.base = f"/api/project/{cls.id}/tasks/"

    def test_forms(self):
        for given, shown in (("2028-02-29", "2028-02-29"), ("9999-12-31", "9999-12-31"),
                             ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
                             ("2099-01-01T00:00:00+14:00", "2098-12-31T10:00:00.000000Z"),
                             ("2099-01-01T00:00:00.1-00:30", "2099-01-01T00:30:00.100000Z"),
                             ("2099-06-30T23:59:59.000001Z", "2099-06-30T23:59:59.000001Z")):
            t = self.ok(self.admin.post(self.base, {"title": "x", "due_date": given}), 201)
            self.assertEqual((t["due_date"], self.one(self.admin, t)["due_date"]), (shown, shown))
        for given in ("0001-01-01", "0001-01-01T00:00:00Z", "1900-02-28", "2000-02-29T12:00:00Z"):
            t = self.ok(self.admin.post(self.base, {"title": "x", "start_date": given}), 201)
            self.assertEqual(self.one(self.admin, t)["start_date"][:10], given[:10])
        for value in ("2027-02-29", "2100-02-29", "1900-02-29", "2026-00-10", "2026-12-32", "0000-01-01", "10000-01-01",
                      "2026-1-1", "20261201", "2026-12-01T10:00Z", "2026-12-01T10:00:00", "2026-12-01T24:00:00Z",
                      "2026-12-01T23:60:00Z", "2026-12-01T23:59:61Z", "2026-12-01T10:00:00+25:00",
                      "2026-12-01T10:00:00+0100",
                      "2026-12-01T10:00:00.Z", "2026-02-30T10:00:00Z", "", " 2026-12-01", "2026-12-01 ", "٢٠٢٦-١٢-٠١",
                      1764547200,
                      True, [], {}, "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"):
            for field in ("due_date", "start_date"):
                self.problem(self.admin.post(self.base, {"title": "x", field: value}), 422, pointer=f"/{field}")

    def test_bounds_in_far_zones(self):
        admin = sign_up()
        base = f"/api/project/{project(admin)['id']}/tasks/"
        for zone, today in (("America/New_York", "2099-01-01"), ("Pacific/Kiritimati", "2099-01-02"),
                            ("Pacific/Pago_Pago", "2098-12-31"), ("Asia/Tokyo", "2099-01-01"),
                            ("Etc/GMT+12", "2098-12-31")):
            self.ok(admin.patch("/api/organization/", {"time_zone": zone}))
            # The days at the ends of the calendar do not keep a zone from coming into force.
            noon = {"title": "x", "due_date": "2099-01-01T10:30:00Z"}
            self.ok(admin.post(base, {**noon, "start_date": today}), 201)
            self.problem(admin.post(base, {**noon, "start_date": "2099-01-03"}), 422, field_code="before-start")
            if today < "2099-01-02":
                self.problem(admin.post(base, {**noon, "start_date": "2099-01-02"}), 422, field_code="before-start")
            first = self.ok(admin.post(base, {"title": f"first {zone}", "start_date": "0001-01-01"}), 201)
            last = self.ok(admin.post(base, {"title": f"last {zone}", "due_date": "9999-12-31"}), 201)
            self.assertEqual((first["start_date"], last["due_date"]), ("0001-01-01", "9999-12-31"))
            for order in ("start_date", "-start_date", "due_date", "-due_date"):
                rows = admin.pages(f"{base}?ordering={order}", 1)
                self.assertEqual(len({r["id"] for r in rows}), len(rows))
            for query in ("due_before=0001-01-01", "due_after=9999-12-31", "due_after=0001-01-01",
                          "due_before=9999-12-31"):
                self.ok(admin.get(f"{base}?{query}"))
            self.ok(admin.patch(task_path(first), {"title": "again"}))
            self.ok(admin.patch(task_path(last), {"due_date": "9999-12-31", "title": "again"}))
            self.ok(admin.put(task_path(last), {"due_date": "9999-12-31", "title": "still", "start_date": "9999-12-31"}))

    def test_zones_that_are_also_abbreviations_have_their_summer(self):
        admin = sign_up()
        base = f"/api/project/{project(admin)['id']}/tasks/"
        # The first of July has begun there, two or three hours before it does in UTC.
        self.ok(admin.post(base, {"title": "x", "due_date": "2099-06-30T22:30:00Z"}), 201)
        for zone, days in (("CET", 1), ("MET", 1), ("EET", 1), ("WET", 0), ("Europe/Berlin", 1)):
            self.ok(admin.patch("/api/organization/", {"time_zone": zone}))
            self.assertEqual(len(admin.pages(f"{base}?due_after=2099-07-01", 50)), days, zone)
            self.assertEqual(len(admin.pages(f"{base}?due_before=2099-07-01", 50)), 1 - days, zone)

    def test_judged_on_the_merged_task(self):
        t = self.ok(self.admin.post(self.base, {"title": "x", "start_date": day(5), "due_date": day(8)}), 201)
        self.problem(self.admin.patch(task_path(t), {"due_date": day(4)}),
                     422, pointer="/due_date", field_code="before-start")
        self.problem(self.admin.patch(task_path(t), {"start_date": day(9)}), 422, pointer="/due_date",
                     field_code="before-start")
        self.set(self.admin, t, start_date=day(9), due_date=day(9))
        self.problem(self.admin.put(task_path(t), {"title": "x", "due_date": day(8)}), 422, pointer="/due_date",
                     field_code="before-start")
        self.set(self.admin, t, start_date=None, due_date=day(1))
        self.assertIsNone(self.one(self.admin, t)["start_date"])
        # Civil with a moment: days are compared, so a due moment on the start's day is not before it.
        self.set(self.admin, t, start_date=day(3), due_date=day(3) + "T00:00:00Z")
        self.set(self.admin, t, start_date=day(3) + "T23:59:59Z", due_date=day(3))
        self.problem(self.admin.patch(task_path(t), {"due_date": day(3) + "T23:59:58.999999Z"}), 422,
                     field_code="before-start",
                     pointer="/due_date")
        self.set(self.admin, t, due_date=day(3) + "T23:59:59Z")

    def test_put_defaults(self):
        parent = self.ok(self.admin.post(self.base, {"title": "p", "start_date": "2020-01-01"}), 201)
        t = self.ok(self.admin.post(self.base, {
            "title": "x", "description": "d", "priority": "HIGH", "status": "ON_HOLD", "start_date": "2020-02-02",
            "due_date": day(3), "parent_task": parent["id"], "also_collaborator": True}), 201)
        got = self.ok(self.admin.put(task_path(t), {"title": "y"}))
        self.assertEqual((got["title"], got["description"], got["priority"], got["status"], got["start_date"],
                          got["due_date"],
                          got["parent_task"], len(got["collaborators"])),
                         ("y", "", "MEDIUM", "ON_HOLD", "2020-02-02", None, parent["id"], 1))
        self.problem(self.admin.put(task_path(t), {"priority": "LOW"}), 422, pointer="/title", field_code="required")
        for field in ("title", "description", "priority", "status"):
            self.problem(self.admin.patch(task_path(t), {field: None}), 422, pointer=f"/{field}")
        for field in ("id", "key", "project", "completed_date", "collaborators", "created_by", "updated_by",
                      "created_at",
                      "updated_at", "version", "subtasks"):
            self.problem(self.admin.patch(task_path(t), {field: "other"}),
                         422, pointer=f"/{field}", field_code="read-only")
            self.problem(self.admin.put(task_path(t), {"title": "y", field: 77777}), 422, pointer=f"/{field}",
                         field_code="read-only")
        self.problem(self.admin.patch(task_path(t), {"also_collaborator": True}), 422, pointer="/also_collaborator")
        merge = {"Content-Type": "application/merge-patch+json; charset=utf-8"}
        self.assertEqual(
    self.ok(
        self.admin.patch(
            task_path(t), {
                "start_date": None}, headers=merge))["start_date"], None)
        self.problem(self.admin.put(task_path(t), {"title": "y"}, headers=merge), 415)
        self.problem(self.admin.patch(task_path(t), {"title": "y"}, headers={"Content-Type": None}), 415)

    def test_title_lengths(self):
        for title in ("𝒳" * 255, "é" * 255, " x "):
            self.assertEqual(self.ok(self.admin.post(self.base, {"title": title}), 201)["title"], title)
        self.problem(self.admin.post(self.base, {"title": "𝒳" * 256}), 422, pointer="/title", field_code="too-long")
        self.problem(self.admin.post(self.base, {"title": "\u3000"}), 422, pointer="/title", field_code="blank")
        self.problem(self.admin.post(self.base, {"title": "x", "collaborators": "a@b"}), 422, pointer="/collaborators")
        self.problem(self.admin.post(self.base, {"title": "x", "collaborators": [1]}), 422, pointer="/collaborators/0")
        self.problem(self.admin.post(self.base, {"title": "x", "collaborators": None}), 422, pointer="/collaborators")
        self.problem(self.admin.post(self.base, {"title": "x", "collaborators": ["a\x00@b"]}), 422,
                     pointer="/collaborators/0")
        self.problem(self.admin.post(self.base, {"title": "x", "also_collaborator": "yes"}), 422,
                     pointer="/also_collaborator")
        self.problem(self.admin.post(self.base, {"title": "x", "id": 1}), 422, pointer="/id",
                     field_code="unknown-field")
        self.problem(self.admin.post(self.base, {"title": "x", "priority": "high"}), 422, pointer="/priority")
        body = self.problem(self.admin.post(self.base, {"title": "", "priority": 1, "due_date": "x", "zzz": 0}), 422)
        self.assertEqual({e["pointer"] for e in body["errors"]}, {"/title", "/priority", "/due_date", "/zzz"})

    def test_zone_decides_what_today_is(self):
        admin = sign_up()
        base = f"/api/project/{project(admin)['id']}/tasks/"
        for name in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
            zone = zoneinfo.ZoneInfo(name)
            self.ok(admin.patch("/api/organization/", {"time_zone": name}))
            self.assertEqual(self.ok(admin.post(base, {"title": "x"}), 201)["start_date"], day(0, zone))
            today = self.ok(admin.post(base, {"title": "x", "due_date": day(0, zone)}), 201)
            self.problem(admin.post(base, {"title": "x", "start_date": "2020-01-01", "due_date": day(-1, zone)}), 422,
                         pointer="/due_date", field_code="in-past")
            # A civil due day runs to the end of the day there.
            end = datetime.datetime.combine(datetime.date.fromisoformat(today["due_date"]) + datetime.timedelta(days=1),
                                            datetime.time(), zone).astimezone(UTC)
            inside = (end - datetime.timedelta(microseconds=1)).isoformat().replace("+00:00", "Z")
            after = end.isoformat().replace("+00:00", "Z")
            ids = {r["id"] for r in admin.pages(f"{base}?due_before={urllib.parse.quote(after)}")}
            self.assertIn(today["id"], ids)
            self.assertNotIn(today["id"],
                             {r["id"] for r in admin.pages(f"{base}?due_before={urllib.parse.quote(inside)}")})
            self.assertIn(today["id"], {r["id"] for r in admin.pages(f"{base}?due_after={urllib.parse.quote(inside)}")})
            self.assertNotIn(today["id"],
                             {r["id"] for r in admin.pages(f"{base}?due_after={urllib.parse.quote(after)}")})
            # A civil date as a value is the begin of its day.
            self.assertIn(today["id"], {r["id"] for r in admin.pages(f"{base}?due_after={today['due_date']}")})
            self.assertNotIn(today["id"], {r["id"] for r in admin.pages(f"{base}?due_before={today['due_date']}")})
            self.assertIn(today["id"], {r["id"] for r in admin.pages(f"{base}?due_before={day(1, zone)}")})
            self.assertEqual(self.ok(admin.get("/api/account/"))["stats"]["due_tasks"], 1)
            self.ok(admin.patch(task_path(today), {"status": "CANCELLED"}))


class Overdue(TaskCase):
    def test_overdue(self):
        admin = sign_up()
        self.ok(admin.patch("/api/organization/", {"time_zone": "Europe/Berlin"}))
        zone = zoneinfo.ZoneInfo("Europe/Berlin")
        p = project(admin)
        due = iso(seconds=2)

        def make(**fields):
            return task(admin, p["id"], start_date=None, **fields)
        pending, progress, held, cancelled, done, today = (
            make(due_date=due), make(due_date=due, status="IN_PROGRESS"), make(due_date=due, status="ON_HOLD"),
            make(due_date=due, status="CANCELLED"), make(due_date=due, status="COMPLETED"), make(due_date=day(0, zone)))
        others = [make(due_date=due, status=s)
                  for s in ("PENDING", "IN_PROGRESS", "PENDING", "PENDING", "IN_PROGRESS", "PENDING")]
        cleared, future, cleared_to, byhand, reopened, put = others
        parent = make(due_date=due)
        s = self.sub(admin, parent, start_date=None, due_date=due)
        tag = admin.get(task_path(parent)).headers["ETag"]
        manager = add_user(admin, "MANAGER")
        collaborate(admin, p["id"], manager)
        eventually(lambda: all(self.status(admin, t) == "OVERDUE" for t in (pending, progress, parent, s, *others)), 20)
        for t, status in ((held, "ON_HOLD"), (cancelled, "CANCELLED"), (done, "COMPLETED"), (today, "PENDING")):
            self.assertEqual(self.status(admin, t), status)
        got = admin.get(task_path(parent))
        self.assertEqual((got.json["subtasks"][0]["status"], got.json["updated_by"]["email"]), ("OVERDUE", admin.email))
        self.assertNotEqual(got.headers["ETag"], tag)
        stats = self.ok(admin.get("/api/account/"))["stats"]
        self.assertEqual((stats["overdue_tasks"], stats["pending_tasks"], stats["due_tasks"]), (10, 2, 2))
        self.assertEqual(len(admin.pages(TASKS + "?status=OVERDUE&search=overdue")), 10)
        # Nobody sets it by hand, naming it where it is so sets nothing.
        for t in (held, done, today):
            self.problem(admin.patch(task_path(t), {"status": "OVERDUE"}),
                         422, pointer="/status", field_code="not-settable")
            self.problem(admin.put(task_path(t), {"title": "x", "status": "OVERDUE"}), 422, pointer="/status",
                         field_code="not-settable")
        tag = admin.get(task_path(pending)).headers["ETag"]
        self.assertEqual(admin.patch(task_path(pending), {"status": "OVERDUE"}).headers["ETag"], tag)
        # An unchanged past date is no obstacle, to no change; a changed one must be in the future.
        self.ok(admin.put(task_path(pending), {"title": "late", "due_date": due, "priority": "HIGH"}))
        self.assertEqual(self.status(admin, pending), "OVERDUE")
        self.problem(admin.patch(task_path(pending), {"due_date": iso(seconds=-1)}), 422, pointer="/due_date",
                     field_code="in-past")
        self.set(admin, pending, description="x", due_date=self.one(admin, pending)["due_date"])
        # Clearing or moving brings the earlier status back, unless the request sets another.
        self.assertEqual(self.set(admin, cleared, due_date=None)["status"], "PENDING")
        self.assertEqual(self.set(admin, future, due_date=day(3))["status"], "IN_PROGRESS")
        self.assertEqual(self.set(admin, cleared_to, due_date=None, status="ON_HOLD")["status"], "ON_HOLD")
        self.assertEqual(self.ok(admin.put(task_path(put), {"title": "x"}))["status"], "PENDING")
        self.assertEqual(self.set(admin, progress, status="OVERDUE", due_date=day(0, zone))["status"], "IN_PROGRESS")
        # Taken off by hand, or reopened.
        self.assertEqual(self.set(admin, byhand, status="PENDING")["status"], "PENDING")
        self.assertIsNotNone(self.set(admin, reopened, status="COMPLETED")["completed_date"])
        self.set(admin, reopened, status="PENDING")
        # The family: completing an overdue parent completes its overdue subtask.
        got = self.ok(manager.patch(task_path(parent), {"status": "COMPLETED"}))
        self.assertEqual(([x["status"] for x in got["subtasks"]], got["subtasks"][0]["updated_by"]["email"]),
                         (["COMPLETED"], manager.email))
        self.set(admin, s, status="PENDING")
        self.assertEqual(self.status(admin, parent), "IN_PROGRESS")
        # A new due date gets a new turn.
        self.set(admin, cleared, due_date=iso(seconds=1.5))
        eventually(lambda: self.status(admin, cleared) == "OVERDUE", 20)
        time.sleep(2.2)
        for t, status in ((byhand, "PENDING"), (reopened, "PENDING"), (parent, "IN_PROGRESS"), (s, "PENDING"),
                          (held, "ON_HOLD"), (today, "PENDING"), (progress, "IN_PROGRESS")):
            self.assertEqual(self.status(admin, t), status, t["title"])
        # In the trash nothing is marked; it is when it comes back.
        gone = make(due_date=iso(seconds=1))
        self.assertEqual(admin.delete(task_path(gone)).status, 204)
        time.sleep(2.5)
        self.ok(admin.post(task_path(gone) + "restore/"))
        eventually(lambda: self.status(admin, gone) == "OVERDUE", 20)

    def test_changed_time_zone(self):
        admin = sign_up()
        west, east = zoneinfo.ZoneInfo("Pacific/Pago_Pago"), zoneinfo.ZoneInfo("Pacific/Kiritimati")
        self.ok(admin.patch("/api/organization/", {"time_zone": "Pacific/Pago_Pago"}))
        p = project(admin)
        # 25 hours lie between the two, so that the day has always ended in the east.
        t = task(admin, p["id"], start_date=None, due_date=day(0, west))
        moment = task(admin, p["id"], start_date=None, due_date=iso(hours=1))
        self.assertLess(day(0, west), day(0, east))
        time.sleep(1.5)
        self.assertEqual(self.status(admin, t), "PENDING")
        self.ok(admin.patch("/api/organization/", {"time_zone": "Pacific/Kiritimati"}))
        eventually(lambda: self.status(admin, t) == "OVERDUE", 20)
        got = self.one(admin, t)
        self.assertEqual((got["due_date"], self.status(admin, moment)), (day(0, west), "PENDING"))
        self.set(admin, t, title="late", due_date=got["due_date"])
