"""Sections 3 (dashboard) and 6: the dashboard, people named in tasks, and races."""
import concurrent.futures

from support import *


class Dashboard(TaskCase):
    def test_dashboard(self):
        admin = sign_up()
        manager, developer = add_user(admin, "MANAGER"), add_user(admin)
        empty = self.ok(developer.get("/api/account/"))
        self.assertEqual(set(empty), {"user", "organization", "stats", "upcoming"})
        self.assertEqual(set(empty["user"]), {"id", "email", "first_name", "last_name", "name", "role", "department",
                                              "is_active", "profile_img", "created_at", "updated_at", "version"})
        self.assertEqual(set(empty["organization"]) - {"version"},
                         {"id", "name", "time_zone", "reminder_hour", "created_at", "updated_at"})
        self.assertEqual(empty["stats"],
                         {"total_projects": 0, "completed_projects": 0, "pending_tasks": 0, "due_tasks": 0,
                                          "overdue_tasks": 0})
        p = project(manager)
        done = project(manager, status="COMPLETED")
        gone = project(manager, status="COMPLETED")
        self.assertEqual(manager.delete(f"/api/project_management/projects/{gone['id']}/").status, 204)
        hidden = project(admin)
        collaborate(manager, p["id"], developer)
        mine = [task(manager, p["id"], title=f"t{n}", due_date=day(n), collaborators=[developer.email])
                for n in range(12)]
        task(manager, p["id"], collaborators=[developer.email])
        task(manager, p["id"], status="COMPLETED", due_date=day(1), collaborators=[developer.email])
        task(manager, p["id"], status="CANCELLED", due_date=day(1), collaborators=[developer.email])
        task(manager, p["id"], status="ON_HOLD", due_date=day(0) + "T23:59:59.999999Z")
        task(manager, p["id"], due_date=day(1) + "T00:00:00Z")
        task(admin, hidden["id"], due_date=day(0))
        late = task(manager, p["id"], start_date=None, due_date=iso(seconds=1), collaborators=[developer.email])
        eventually(lambda: self.status(manager, late) == "OVERDUE")
        for who, stats in ((developer, (1, 0, 13, 1, 1)), (manager, (2, 1, 15, 2, 1)), (admin, (3, 1, 16, 3, 1))):
            got = self.ok(who.get("/api/account/"))
            self.assertEqual(tuple(got["stats"][n] for n in ("total_projects", "completed_projects", "pending_tasks",
                                                             "due_tasks", "overdue_tasks")), stats, who.email)
        got = self.ok(developer.get("/api/account/"))
        self.assertEqual([t["id"] for t in got["upcoming"]], [late["id"]] + [t["id"] for t in mine[:9]])
        self.assertEqual(self.ok(manager.get("/api/account/"))["upcoming"], [])
        row = self.ok(developer.get(f"{TASKS}?search=t3"))["results"][0]
        self.assertEqual([t for t in got["upcoming"] if t["id"] == row["id"]], [row])
        self.problem(developer.get("/api/account/?fields=nope"), 400, parameter="fields")
        self.assertEqual(set(self.ok(developer.get("/api/account/?fields=stats"))), {"stats"})
        answer = developer.get("/api/account/")
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(developer.send("HEAD", "/api/account/").status, 200)


class People(TaskCase):
    def test_inactive_and_unknown(self):
        admin = sign_up()
        p = project(admin)
        person, gone = add_user(admin), add_user(admin)
        for each in (person, gone):
            collaborate(admin, p["id"], each)
        base = f"/api/project/{p['id']}/tasks/"
        kept = task(admin, p["id"], collaborators=[gone.email])
        t = task(admin, p["id"])
        self.ok(admin.patch(f"/api/organization/users/{gone.email}/", {"is_active": False}))
        self.problem(admin.post(f"{task_path(t)}collaborators/{gone.email}/"), 422, "inactive-user")
        names = [person.email, gone.email, "nobody@example.com", person.email.upper(), "no address",
                 "\u212aate@example.com"]
        body = self.problem(admin.post(base, {"title": "x", "collaborators": names}), 422)
        self.assertEqual([(e["pointer"], e["code"]) for e in body["errors"]][:2],
                         [("/collaborators/1", "inactive-user"), ("/collaborators/2", "not-found")])
        self.assertEqual({e["pointer"] for e in body["errors"]}, {f"/collaborators/{n}" for n in range(1, 6)})
        self.assertEqual(len(admin.pages(base)), 2)
        # Somebody deactivated stays where they are, and is found there.
        self.assertEqual(self.one(admin, kept)["collaborators"][0]["user"]["email"], gone.email)
        self.assertEqual([r["id"] for r in admin.pages(f"{TASKS}?collaborator={gone.email}")], [kept["id"]])
        self.assertEqual(admin.delete(f"{task_path(kept)}collaborators/{gone.email}/").status, 204)
        self.problem(gone.get(TASKS), 401)

    def test_addresses_in_paths(self):
        admin = sign_up()
        p = project(admin)
        address = unique("o'neil+tag!#"[:10]) + "&=~^{|}*@Example.com"
        person = add_user(admin, email=address, log_in_too=False)
        quoted = urllib.parse.quote(address, safe="")
        answer = admin.post(f"/api/project_management/projects/{p['id']}/collaborators/{quoted}/")
        self.ok(answer, 201)
        self.assertEqual(self.ok(admin.get(answer.headers["Location"]))["user"]["id"], person["id"])
        t = task(admin, p["id"], collaborators=[address.upper()])
        self.assertEqual(self.ok(admin.get(f"{task_path(t)}collaborators/{quoted}/"))["user"]["email"], address)
        self.assertEqual(admin.delete(f"{task_path(t)}collaborators/{quoted}/").status, 204)
        answer = admin.post(f"{task_path(t)}collaborators/{quoted.lower()}/")
        self.ok(answer, 201)
        self.assertEqual(self.ok(admin.get(answer.headers["Location"]))["user"]["email"], address)
        self.assertEqual([r["id"] for r in admin.pages(f"{TASKS}?collaborator={quoted}")], [t["id"]])

    def test_order_follows_the_zone(self):
        admin = sign_up()
        p = project(admin)
        civil = task(admin, p["id"], start_date="2030-06-10", due_date="2030-06-10")
        moment = task(admin, p["id"], start_date="2030-06-09T20:00:00Z", due_date="2030-06-10T12:00:00Z")
        for zone, starts, dues in (("UTC", [moment, civil], [moment, civil]),
                                   ("Pacific/Kiritimati", [civil, moment], [civil, moment]),
                                   ("Europe/Berlin", [moment, civil], [moment, civil])):
            self.ok(admin.patch("/api/organization/", {"time_zone": zone}))
            for order, wanted in (("start_date", starts), ("due_date", dues), ("-start_date", starts[::-1]),
                                  ("-due_date", dues[::-1])):
                self.assertEqual([r["id"] for r in admin.pages(f"{TASKS}?ordering={order}", 1)],
                                 [t["id"] for t in wanted], (zone, order))
        self.assertEqual(self.one(admin, civil)["due_date"], "2030-06-10")


class Races(TaskCase):
    def both(self, pool, *sends):
        return [f.result() for f in [pool.submit(s) for s in sends]]

    def test_families(self):
        admin = sign_up()
        other = log_in(admin.email)
        p = project(admin)
        base = f"/api/project/{p['id']}/tasks/"
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for _ in range(8):
                # Each under the other: one level, so that one at most can be.
                a, b = task(admin, p["id"]), task(admin, p["id"])
                answers = self.both(pool, lambda: admin.patch(task_path(a), {"parent_task": b["id"]}),
                                    lambda: other.patch(task_path(b), {"parent_task": a["id"]}))
                self.assertEqual(sorted(x.status for x in answers), [200, 422], answers)
                # A subtask for a task that becomes one.
                a, b = task(admin, p["id"]), task(admin, p["id"])
                answers = self.both(pool, lambda: admin.post(task_path(a) + "subtasks/", {"title": "s"}),
                                    lambda: other.patch(task_path(a), {"parent_task": b["id"]}))
                self.assertEqual(len([x for x in answers if x.status < 300]), 1, answers)
                # A subtask for a parent that is being deleted is no orphan.
                a = task(admin, p["id"])
                answers = self.both(pool, lambda: admin.post(task_path(a) + "subtasks/", {"title": "s"}),
                                    lambda: other.delete(task_path(a)))
                self.assertEqual(answers[1].status, 204)
                self.assertIn(answers[0].status, (201, 404))
                if answers[0].status == 201:
                    self.problem(admin.get(task_path(answers[0].json)), 404)
                # The last open subtask completes while another one comes.
                a = task(admin, p["id"])
                s = self.sub(admin, a)
                answers = self.both(pool, lambda: admin.patch(task_path(s), {"status": "COMPLETED"}),
                                    lambda: other.post(task_path(a) + "subtasks/", {"title": "late"}))
                self.assertEqual([x.status for x in answers], [200, 201])
                self.assertIn(self.status(admin, a), ("PENDING", "IN_PROGRESS"))
                # Two collaborators' requests at once.
                answers = self.both(pool, lambda: admin.post(f"{task_path(a)}collaborators/{admin.email}/"),
                                    lambda: other.post(f"{task_path(a)}collaborators/{admin.email}/"))
                self.assertEqual(sorted(x.status for x in answers), [201, 409])
                answers = self.both(pool, lambda: admin.delete(task_path(a)), lambda: other.delete(task_path(a)))
                self.assertEqual(sorted(x.status for x in answers), [204, 404])
                answers = self.both(pool, lambda: admin.post(task_path(a) + "restore/"),
                                    lambda: other.post(task_path(a) + "restore/"))
                self.assertEqual(sorted(x.status for x in answers), [200, 409])
        rows = {r["id"]: r for r in admin.pages(base)}
        for r in rows.values():
            if r["parent_task"]:
                self.assertIsNone(rows[r["parent_task"]]["parent_task"])

    def test_leaving_while_being_named(self):
        admin = sign_up()
        person, other = add_user(admin), log_in(admin.email)
        p = project(admin)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for _ in range(6):
                collaborate(admin, p["id"], person)
                t = task(admin, p["id"])
                answers = self.both(
                    pool, lambda: other.post(f"/api/project/{p['id']}/tasks/",
                                             {"title": "n", "collaborators": [person.email]}),
                    lambda: admin.delete(f"/api/project_management/projects/{p['id']}/collaborators/{person.email}/"))
                self.assertEqual(answers[1].status, 204)
                self.assertIn(answers[0].status, (201, 422))
                if answers[0].status == 201:
                    seen_by(answers[1], other)
                    self.assertEqual(self.one(other, answers[0].json)["collaborators"], [])
                self.problem(
    admin.post(f"{task_path(t)}collaborators/{person.email}/"),
    422,
     "not-a-project-collaborator")


class AuditDashboard(Case):
    def test_counts_and_upcoming(self):
        admin = sign_up()
        person = add_user(admin)
        p = project(admin)
        project(admin, status="COMPLETED")
        collaborate(admin, p["id"], person)
        today = datetime.datetime.now(datetime.timezone.utc).date()
        for days in range(1, 13):
            task(admin, p["id"], due_date=str(today + datetime.timedelta(days=days)), collaborators=[person.email])
        soon = task(admin, p["id"], due_date=str(today), collaborators=[person.email], title="soon")
        task(admin, p["id"], due_date=str(today), title="not theirs")
        moment = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)).isoformat()
        late = task(admin, p["id"], due_date=moment, collaborators=[person.email], title="late")
        task(admin, p["id"], due_date=str(today), collaborators=[person.email], status="COMPLETED")
        eventually(lambda: self.ok(person.get("/api/account/"))["stats"]["overdue_tasks"] == 1)
        body = self.ok(person.get("/api/account/"))
        self.assertEqual(body["stats"], {"total_projects": 1, "completed_projects": 0, "pending_tasks": 13,
                                         "due_tasks": 1, "overdue_tasks": 1})
        self.assertEqual(len(body["upcoming"]), 10)
        self.assertEqual([t["id"] for t in body["upcoming"][:2]], [late["id"], soon["id"]])
        stats = self.ok(admin.get("/api/account/"))["stats"]
        self.assertEqual((stats["total_projects"], stats["completed_projects"], stats["due_tasks"]), (2, 1, 2))
        self.assertEqual(self.ok(admin.get("/api/account/"))["upcoming"], [])
        self.assertEqual(set(self.ok(admin.get("/api/account/?fields=stats"))), {"stats"})
        self.problem(admin.get("/api/account/?foo=1"), 400, parameter="foo")
