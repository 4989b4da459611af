"""Section 7 sentence by sentence: what test_notifications leaves out."""
from support import *


def now():
    return datetime.datetime.now(UTC)


def past_hour():
    """A zone and an hour that has begun there today, not earlier than 9:00 in UTC would have judged."""
    for offset in range(-12, 15):
        # The signs of these zones are the wrong way round: Etc/GMT-3 is three hours ahead.
        zone = "UTC" if offset == 0 else f"Etc/GMT{-offset:+d}"
        hour = (now() + datetime.timedelta(hours=offset)).hour
        if 2 <= hour <= 8:
            return zone, hour
    raise AssertionError("there is always such a zone")


class Two(Case):
    """An admin and others who work on one project."""

    def waiting(self, admin):
        """Nobody's day has been judged yet: the organization's clock stands before its hour."""
        hour = now().hour
        zone = f"Etc/GMT+{hour}" if hour <= 12 else f"Etc/GMT-{24 - hour}"
        self.ok(admin.patch("/api/organization/", {"time_zone": zone, "reminder_hour": 23}))

    def people(self, *roles):
        admin = sign_up()
        # After nine in the morning the reminder of the day may come at any moment, and would be counted with the rest.
        self.waiting(admin)
        others = [add_user(admin, role, first_name=role.title()) for role in roles or ("DEVELOPER",)]
        p = project(admin)
        for other in others:
            collaborate(admin, p["id"], other)
        return admin, others, p

    def notices(self, client, kind=None):
        return [n for n in client.pages(NOTICES) if kind in (None, n["kind"])]

    def about(self, address, text):
        return [m for m in mails(address) if text in text_of(m)]


class AuditNotices(Two):
    def test_project_added(self):
        admin, (person,), p = self.people()
        notice = eventually(lambda: self.notices(person, "project-added"))[0]
        self.assertEqual((notice["project"], notice["task"], notice["read_at"]), (p["id"], None, None))
        self.assertIn(p["name"], notice["title"] + notice["body"])
        self.assertIsInstance(notice["id"], int)
        self.assertRegex(notice["created_at"], r"\.\d{6}Z$")
        mail = eventually(lambda: self.about(person.email, p["name"]))
        self.assertEqual(len(mail), 1)
        self.assertEqual(self.notices(admin), [])
        self.assertEqual(self.about(admin.email, p["name"]), [])

    def test_creating_a_project_tells_nobody(self):
        admin = sign_up()
        manager = add_user(admin, "MANAGER")
        project(manager)
        probe = project(admin)
        collaborate(admin, probe["id"], manager)
        eventually(lambda: self.notices(manager, "project-added"))
        self.assertEqual([n["project"] for n in self.notices(manager)], [probe["id"]])

    def test_task_assigned_by_create_add_and_subtask(self):
        admin, (one, two), p = self.people("DEVELOPER", "MANAGER")
        t = task(admin, p["id"], collaborators=[one.email])
        self.ok(admin.post(f"/api/project/tasks/{t['id']}/collaborators/{two.email}/"), 201)
        sub = self.ok(admin.post(f"/api/project/tasks/{t['id']}/subtasks/", {
            "title": unique("Sub"), "collaborators": [one.email]}), 201)
        own = self.ok(one.post(f"/api/project/{p['id']}/tasks/", {"title": unique("Own")}), 201)
        eventually(lambda: {n["task"] for n in self.notices(one, "task-assigned")} == {t["id"], sub["id"]})
        eventually(lambda: {n["task"] for n in self.notices(two, "task-assigned")} == {t["id"]})
        eventually(lambda: self.about(one.email, t["title"]) and self.about(one.email, sub["title"])
                   and self.about(two.email, t["title"]))
        self.assertEqual(self.about(one.email, own["title"]), [])
        self.assertEqual(len(self.about(one.email, t["title"])), 1)
        mail = self.about(one.email, t["title"])[0]
        self.assertIn(t["key"], text_of(mail))
        self.assertIn(t["key"], mail.get_body(preferencelist=("html",)).get_content())

    def test_never_the_deactivated(self):
        admin, (one, two), p = self.people("DEVELOPER", "MANAGER")
        t = task(admin, p["id"], collaborators=[one.email, two.email], due_date=iso(seconds=3))
        eventually(lambda: self.about(one.email, t["title"]))
        before = len(mails(one.email))
        self.ok(admin.patch(f"/api/organization/users/{one.email}/", {"is_active": False}))
        eventually(lambda: self.notices(two, "task-overdue"), 30)
        eventually(lambda: [m for m in mails(two.email, "overdue")])
        time.sleep(0.5)
        self.assertEqual(len(mails(one.email)), before)
        self.ok(admin.patch(f"/api/organization/users/{one.email}/", {"is_active": True}))
        one = eventually(lambda: try_log_in(one.email))
        self.assertEqual(self.notices(one, "task-overdue"), [])

    def test_overdue_goes_to_collaborators_else_to_the_creator(self):
        admin, (one, two), p = self.people("DEVELOPER", "MANAGER")
        with_people = task(admin, p["id"], collaborators=[one.email], due_date=iso(seconds=2))
        without = task(two, p["id"], due_date=iso(seconds=2))
        done = task(admin, p["id"], collaborators=[one.email], due_date=iso(seconds=2), status="ON_HOLD")
        eventually(lambda: self.notices(one, "task-overdue"), 30)
        eventually(lambda: self.notices(two, "task-overdue"), 30)
        self.assertEqual([n["task"] for n in self.notices(one, "task-overdue")], [with_people["id"]])
        self.assertEqual([n["task"] for n in self.notices(two, "task-overdue")], [without["id"]])
        self.assertEqual(self.notices(admin, "task-overdue"), [])
        mail = eventually(lambda: mails(two.email, "overdue"))
        self.assertEqual(len(mail), 1)
        self.assertIn(without["title"], text_of(mail[0]))
        self.assertTrue(mail[0]["List-Unsubscribe"])
        self.assertNotIn(done["id"], [n["task"] for n in self.notices(one, "task-overdue")])

    def test_reading(self):
        admin, (one, two), p = self.people("DEVELOPER", "MANAGER")
        for _ in range(3):
            task(admin, p["id"], collaborators=[one.email])
        rows = eventually(lambda: (r := self.notices(one)) and len(r) == 4 and r)
        moments = [r["created_at"] for r in rows]
        self.assertEqual(moments, sorted(moments, reverse=True))
        self.assertEqual(one.pages(NOTICES, 1), rows)
        self.assertEqual(self.ok(one.get(NOTICES + "?count=true&unread=true&page_size=1"))["count"], 4)
        self.assertEqual(set(self.ok(one.get(NOTICES + "?fields=id,kind"))["results"][0]), {"id", "kind"})
        first = self.ok(one.post(f"{NOTICES}{rows[0]['id']}/read/"))
        self.assertEqual(set(first), set(rows[0]))
        self.assertEqual(self.ok(one.post(f"{NOTICES}{rows[0]['id']}/read/"))["read_at"], first["read_at"])
        for bad in ("0", "-1", "abc", "99999", "9223372036854775808"):
            self.problem(one.post(f"{NOTICES}{bad}/read/"), 404)
        foreign = eventually(lambda: self.notices(two))[0]["id"]
        self.problem(one.post(f"{NOTICES}{foreign}/read/"), 404)
        self.problem(one.get(f"{NOTICES}{rows[0]['id']}/read/"), 405)
        for query, parameter in (("?unread=1", "unread"), ("?kind=x", "kind"), ("?unread=true&unread=true", "unread"),
                                 ("?ordering=id", "ordering")):
            self.problem(one.get(NOTICES + query), 400, parameter=parameter)
        self.assertEqual(self.ok(one.post(NOTICES + "read-all/")), {"updated": 3})
        self.assertEqual(one.pages(NOTICES + "?unread=true"), [])
        self.problem(Client().get(NOTICES), 401)
        self.problem(Client().post(NOTICES + "read-all/"), 401)


class AuditPreferences(Two):
    def test_replacement(self):
        client = sign_up()
        answer = client.get(PREFERENCES)
        standard = self.ok(answer)
        self.assertEqual(standard, {"kinds": {k: {"in_app": True, "mail": True} for k in (
            "project-added", "task-assigned", "task-overdue", "daily-reminder")}, "reminder_hour": None, "time_zone": None})
        self.assertIn("ETag", answer.headers)
        changed = self.ok(client.put(PREFERENCES, {"kinds": {"task-overdue": {"in_app": False, "mail": False}},
                                                   "reminder_hour": 0, "time_zone": "America/New_York"}))
        self.assertEqual(changed["kinds"]["task-overdue"], {"in_app": False, "mail": False})
        self.assertEqual(changed["kinds"]["task-assigned"], {"in_app": True, "mail": True})
        self.assertEqual((changed["reminder_hour"], changed["time_zone"]), (0, "America/New_York"))
        self.assertEqual(self.ok(client.get(PREFERENCES)), changed)
        # A PUT: what is absent is the default again.
        self.assertEqual(self.ok(client.put(PREFERENCES, {})), standard)
        for body, pointer in (({"kinds": {"nope": {}}}, "/kinds/nope"), ({"kinds": []}, "/kinds"),
                              ({"kinds": {"task-overdue": {"mail": "no"}}}, "/kinds/task-overdue/mail"),
                              ({"kinds": {"task-overdue": {"sms": True}}}, "/kinds/task-overdue/sms"),
                              ({"reminder_hour": 24}, "/reminder_hour"), ({"reminder_hour": -1}, "/reminder_hour"),
                              ({"reminder_hour": "9"}, "/reminder_hour"), ({"time_zone": "Mars/Olympus"}, "/time_zone"),
                              ({"time_zone": ""}, "/time_zone"), ({"x": 1}, "/x")):
            with self.subTest(body=body):
                self.problem(client.put(PREFERENCES, body), 422, pointer=pointer)
        self.assertEqual(self.ok(client.get(PREFERENCES)), standard)
        self.problem(client.patch(PREFERENCES, {}), 405)

    def test_in_app_and_mail_are_separate(self):
        admin, (one,), p = self.people()
        self.ok(one.put(PREFERENCES, {"kinds": {"task-assigned": {"in_app": False, "mail": True},
                                                "task-overdue": {"in_app": True, "mail": False}}}))
        t = task(admin, p["id"], collaborators=[one.email], due_date=iso(seconds=3))
        eventually(lambda: self.about(one.email, t["title"]))
        eventually(lambda: self.notices(one, "task-overdue"), 30)
        self.assertEqual(self.notices(one, "task-assigned"), [])
        time.sleep(0.5)
        self.assertEqual(mails(one.email, "overdue"), [])

    def test_unsubscribe(self):
        admin, (one,), p = self.people()
        mail = eventually(lambda: self.about(one.email, p["name"]))[0]
        url = re.fullmatch(r"<(https?://[^>]+)>", mail["List-Unsubscribe"]).group(1)
        path = urllib.parse.urlsplit(url).path
        self.assertTrue(path.startswith("/api/notifications/unsubscribe/"))
        page = Client().get(path, headers={"Accept": "text/html"})
        self.assertEqual((page.status, page.headers["Content-Type"].split(";")[0]), (200, "text/html"))
        self.assertEqual(page.headers["Referrer-Policy"], "no-referrer")
        self.assertIn('method="post"', page.body.decode())
        # Looking changes nothing.
        self.assertTrue(self.ok(one.get(PREFERENCES))["kinds"]["project-added"]["mail"])
        button = Client().post(path, raw=b"", headers={"Content-Type": "application/x-www-form-urlencoded",
                                                       "Accept": "text/html"})
        self.assertEqual((button.status, button.headers["Content-Type"].split(";")[0]), (200, "text/html"))
        kinds = self.ok(one.get(PREFERENCES))["kinds"]
        self.assertEqual(kinds["project-added"], {"in_app": True, "mail": False})
        self.assertEqual([k for k in kinds if kinds[k]["mail"] is False], ["project-added"])
        # Again, and as mail programs send it.
        boundary = b"--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n"
        for raw, kind in ((b"List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"),
                          (boundary, "multipart/form-data; boundary=x"), (b"", None)):
            self.assertEqual(Client().post(path, raw=raw, headers={"Content-Type": kind}).status, 200)
        other = project(admin)
        collaborate(admin, other["id"], one)
        eventually(lambda: [n for n in self.notices(one) if n["project"] == other["id"]])
        time.sleep(0.5)
        self.assertEqual(self.about(one.email, other["name"]), [])
        token = path.strip("/").split("/")[-1]
        for bad in (token[:-1], token + "A", token.swapcase(), "x", "A" * len(token)):
            self.assertIn(Client().post(f"{NOTICES}unsubscribe/{bad}/").status, (400, 404), bad)


class AuditMails(Two):
    def test_form(self):
        admin, (one,), p = self.people()
        t = task(admin, p["id"], collaborators=[one.email], title="Ünïcode <b>& “quotes”\r\nBcc: evil@example.com")
        Client().post("/api/account/request-reset-password/", {"email": one.email})
        eventually(lambda: len(mails(one.email)) >= 4)
        self.ok(one.post("/api/account/change-password/",
                {"old_password": PASSWORD, "new_password": "brand-new-secret-1"}))
        eventually(lambda: mails(one.email, "changed"))
        found = mails(one.email)
        identifiers = [m["Message-ID"] for m in found]
        self.assertEqual(len(set(identifiers)), len(found))
        subscribed = 0
        for mail in found:
            self.assertRegex(mail["Message-ID"], r"^<[^<>@\s]+@[^<>@\s]+>$")
            for name in ("From", "To", "Subject", "Date", "MIME-Version"):
                self.assertTrue(mail[name], name)
            self.assertIsNone(mail["Bcc"])
            self.assertEqual(mail.get_content_type(), "multipart/alternative")
            text, html = text_of(mail), mail.get_body(preferencelist=("html",)).get_content()
            self.assertNotIn("<b>&", html)
            self.assertNotRegex(html, r"<(img|script|link)\b")
            for secret in (PASSWORD, "brand-new-secret-1"):
                self.assertNotIn(secret, mail.as_string())
            link = link_in(mail)
            if link:
                self.assertEqual([l for l in text.splitlines() if link in l], [
                                 l for l in text.splitlines() if l.endswith(link)])
                self.assertIn(link, html)
                self.assertIsNone(mail["List-Unsubscribe"])
            subscribed += mail["List-Unsubscribe"] is not None
        self.assertEqual(subscribed, 2)
        self.assertTrue(self.about(one.email, t["key"]))

    def test_welcome_names_the_organization(self):
        admin = sign_up(organization=unique("Ärzte & Söhne"))
        user = add_user(admin, log_in_too=False)
        mail = eventually(lambda: mails(user["email"]))[0]
        self.assertIn(admin.login_answer["organization"]["name"], text_of(mail))
        self.assertTrue(link_in(mail))
        self.assertIsNone(mail["List-Unsubscribe"])
        self.assertEqual(mail["To"].addresses[0].addr_spec, user["email"])


class AuditReminder(Two):
    def remind(self, person):
        zone, hour = past_hour()
        body = {"reminder_hour": hour, "time_zone": zone}
        self.ok(person.put(PREFERENCES, body))

    def reminders(self, person):
        return mails(person.email, "remind")

    def test_once_a_day_in_order(self):
        admin = sign_up()
        self.waiting(admin)
        person = add_user(admin)
        names = [unique("b project"), unique("A project")]
        b, a = (project(admin, name=name) for name in names)
        for p in (a, b):
            collaborate(admin, p["id"], person)
        day = now().date() + datetime.timedelta(days=3)
        make = lambda p, title, **f: task(admin, p["id"], title=unique(title), collaborators=[person.email], **f)
        rows = [make(a, "low-late", priority="LOW", due_date=str(day)), make(a, "high-none", priority="HIGH"),
                make(a, "high-soon", priority="HIGH", due_date=str(day)), make(a, "medium", priority="MEDIUM"),
                make(b, "other", priority="HIGH", due_date=str(day)), make(a, "done", status="COMPLETED"),
                make(a, "cancelled", status="CANCELLED"), make(a, "hold", priority="LOW", status="ON_HOLD")]
        own = task(admin, a["id"], title=unique("not theirs"))
        eventually(lambda: len([n for n in self.notices(person, "task-assigned")]) >= 8)
        self.remind(person)
        mail = eventually(lambda: self.reminders(person), 30)[0]
        text = text_of(mail)
        wanted = [rows[2], rows[1], rows[3], rows[0], rows[7], rows[4]]
        places = [text.index(t["title"]) for t in wanted]
        self.assertEqual(places, sorted(places), text)
        self.assertLess(text.index(names[1]), places[0])
        self.assertTrue(places[4] < text.index(names[0]) < places[5])
        for absent in (rows[5], rows[6], own):
            self.assertNotIn(absent["title"], text)
        html = mail.get_body(preferencelist=("html",)).get_content()
        self.assertIn(rows[0]["title"], html)
        self.assertTrue(mail["List-Unsubscribe"])
        notice = eventually(lambda: self.notices(person, "daily-reminder"))
        self.assertEqual((len(notice), notice[0]["project"], notice[0]["task"]), (1, None, None))
        # Another hour of the same day does not make another one.
        zone, hour = past_hour()
        self.ok(person.put(PREFERENCES, {"reminder_hour": hour - 1, "time_zone": zone}))
        time.sleep(2.5)
        self.assertEqual(len(self.reminders(person)), 1)
        self.assertEqual(self.reminders(admin), [])

    def test_nothing_to_remind_of_ends_the_day_and_preferences_hold(self):
        admin = sign_up()
        self.waiting(admin)
        idle, quiet = add_user(admin), add_user(admin)
        p = project(admin)
        for person in (idle, quiet):
            collaborate(admin, p["id"], person)
        task(admin, p["id"], collaborators=[quiet.email])
        eventually(lambda: self.notices(quiet, "task-assigned"))
        zone, hour = past_hour()
        self.ok(quiet.put(PREFERENCES, {"reminder_hour": hour, "time_zone": zone,
                                        "kinds": {"daily-reminder": {"in_app": True, "mail": False}}}))
        self.remind(idle)
        eventually(lambda: self.notices(quiet, "daily-reminder"), 30)
        time.sleep(2.5)
        task(admin, p["id"], collaborators=[idle.email])
        eventually(lambda: self.notices(idle, "task-assigned"))
        time.sleep(2.5)
        self.assertEqual(self.notices(idle, "daily-reminder"), [])
        self.assertEqual(self.reminders(idle), [])
        self.assertEqual(self.reminders(quiet), [])

    def test_the_organizations_hour_is_the_default(self):
        admin = sign_up()
        self.waiting(admin)
        person = add_user(admin)
        p = project(admin)
        collaborate(admin, p["id"], person)
        t = task(admin, p["id"], collaborators=[person.email])
        eventually(lambda: self.notices(person, "task-assigned"))
        zone, hour = past_hour()
        self.ok(admin.patch("/api/organization/", {"time_zone": zone, "reminder_hour": hour}))
        mail = eventually(lambda: self.reminders(person), 30)[0]
        self.assertIn(t["title"], text_of(mail))
