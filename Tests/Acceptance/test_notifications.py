"""Section 7: notices, preferences, mails."""
from support import *


class Notifications(Case):
    def setup_two(self):
        admin = sign_up()
        person = add_user(admin)
        p = project(admin)
        collaborate(admin, p["id"], person)
        return admin, person, p

    def without_reminders(self, *people):
        """After nine in the morning the reminder of the day may come at any moment, and would be counted with the rest."""
        for person in people:
            body = self.ok(person.get(NOTICES + "preferences/"))
            body["kinds"]["daily-reminder"] = {"in_app": False, "mail": False}
            self.ok(person.put(NOTICES + "preferences/", body))

    def test_notices(self):
        admin, person, p = self.setup_two()
        self.without_reminders(admin, person)
        t = task(admin, p["id"], collaborators=[person.email, admin.email])
        rows = eventually(lambda: (r := person.pages(NOTICES)) and len(r) == 2 and r)
        self.assertEqual([r["kind"] for r in rows], ["task-assigned", "project-added"])
        self.assertEqual(set(rows[0]), {"id", "kind", "title", "body", "project", "task", "created_at", "read_at"})
        self.assertEqual((rows[0]["project"], rows[0]["task"]), (p["id"], t["id"]))
        # Never to the one who acted.
        self.assertEqual(admin.pages(NOTICES), [])
        self.assertEqual(len(person.pages(NOTICES + "?unread=true")), 2)
        read = self.ok(person.post(f"{NOTICES}{rows[0]['id']}/read/"))
        self.assertIsNotNone(read["read_at"])
        self.assertEqual(len(person.pages(NOTICES + "?unread=true")), 1)
        self.assertEqual(len(person.pages(NOTICES + "?unread=false")), 1)
        self.problem(admin.post(f"{NOTICES}{rows[0]['id']}/read/"), 404)
        self.problem(person.get(NOTICES + "?unread=yes"), 400, parameter="unread")
        self.assertEqual(self.ok(person.post(NOTICES + "read-all/")), {"updated": 1})
        self.assertEqual(self.ok(person.post(NOTICES + "read-all/")), {"updated": 0})

    def test_preferences(self):
        admin, person, p = self.setup_two()
        body = self.ok(person.get(NOTICES + "preferences/"))
        self.assertEqual(set(body["kinds"]), {"project-added", "task-assigned", "task-overdue", "daily-reminder"})
        self.assertEqual(body["kinds"]["task-assigned"], {"in_app": True, "mail": True})
        self.assertIsNone(body["reminder_hour"])
        self.assertIsNone(body["time_zone"])
        body["kinds"]["task-assigned"] = {"in_app": True, "mail": False}
        # Its hour may come in the middle of this, and it names the open tasks.
        body["kinds"]["daily-reminder"] = {"in_app": True, "mail": False}
        body["time_zone"] = "Europe/Berlin"
        self.assertEqual(self.ok(person.put(NOTICES + "preferences/", body))["kinds"]["task-assigned"]["mail"], False)
        self.problem(person.put(NOTICES + "preferences/", {**body, "time_zone": "Nowhere"}), 422, pointer="/time_zone")
        self.problem(person.put(NOTICES + "preferences/", {**body, "reminder_hour": 24}), 422, pointer="/reminder_hour")
        t = task(admin, p["id"], collaborators=[person.email])
        eventually(lambda: [r for r in person.pages(NOTICES) if r["task"] == t["id"]])
        other = task(admin, p["id"])
        self.ok(admin.post(f"/api/project/tasks/{other['id']}/collaborators/{person.email}/"), 201)
        eventually(lambda: [r for r in person.pages(NOTICES) if r["task"] == other["id"]])
        self.assertEqual([m for m in mails(person.email) if t["title"] in text_of(m)], [])

    def test_unsubscribe(self):
        admin, person, p = self.setup_two()
        mail = eventually(lambda: [m for m in mails(person.email) if p["name"] in text_of(m)])[0]
        self.assertIn("List-Unsubscribe=One-Click", mail["List-Unsubscribe-Post"])
        url = re.search(r"<(http[^>]+)>", mail["List-Unsubscribe"]).group(1)
        path = urllib.parse.urlsplit(url).path
        answer = Client().post(path, raw=b"List-Unsubscribe=One-Click",
                               headers={"Content-Type": "application/x-www-form-urlencoded"})
        self.assertIn(answer.status, (200, 204))
        self.assertFalse(self.ok(person.get(NOTICES + "preferences/"))["kinds"]["project-added"]["mail"])
        self.assertIn(Client().post(path[:-4] + "xxx/").status, (400, 404))

    def test_mail_form(self):
        admin, person, p = self.setup_two()
        for mail in eventually(lambda: len(mails(person.email)) >= 2 and mails(person.email)):
            self.assertTrue(mail["Message-ID"])
            self.assertIsNotNone(mail.get_body(preferencelist=("html",)))
            self.assertNotIn(PASSWORD, text_of(mail))
        ids = [m["Message-ID"] for m in mails(person.email)]
        self.assertEqual(len(ids), len(set(ids)))

    def test_daily_reminder(self):
        admin, person, p = self.setup_two()
        t = task(admin, p["id"], title=unique("Remember"), collaborators=[person.email], priority="HIGH")
        hour = datetime.datetime.now(datetime.timezone.utc).hour
        # Whatever the hour is here, it has begun in UTC; a person of this very day has not been judged before it.
        body = self.ok(person.get(NOTICES + "preferences/"))
        body["reminder_hour"] = hour
        body["time_zone"] = "UTC"
        self.ok(person.put(NOTICES + "preferences/", body))
        if hour < 9:
            reminder = eventually(lambda: [m for m in mails(person.email) if "List-Unsubscribe" in m
                                           and t["title"] in text_of(m) and p["name"] in text_of(m)
                                           and "remind" in m["Subject"].lower()], 75)
            self.assertEqual(len(reminder), 1)
