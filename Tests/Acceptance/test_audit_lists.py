"""Section 1 line by line: lists, as tasks and projects show them."""
import random

from support import *


def cursor_of(link):
    return urllib.parse.parse_qs(urllib.parse.urlsplit(link).query)["cursor"][0]


class Lists(Case):
    @classmethod
    def setUpClass(cls):
        """Sixty tasks with many ties and holes, and what is known of them."""
        cls.admin = sign_up()
        cls.manager = add_user(cls.admin, "MANAGER")
        cls.developer = add_user(cls.admin)
        cls.project = project(cls.admin, name="Ω Listing 100%")
        cls.base = f"/api/project/{cls.project['id']}/tasks/"
        for person in (cls.manager, cls.developer):
            collaborate(cls.admin, cls.project["id"], person)
        rng = random.Random(7)
        cls.rows = []
        for n in range(60):
            due = rng.choice([None, day(5), day(5) + "T23:59:59.999999Z", day(5) + "T12:00:00Z", day(6), day(4)])
            start = rng.choice([None, day(-3), day(-3) + "T00:00:00Z", day(-4) + "T23:59:59.999999Z", day(-2)])
            cls.rows.append(task(cls.admin, cls.project["id"],
                                 title=rng.choice(["b", "B", "a", "Ä", "ä", "_", "Z", "zz", "\U0001f600"]),
                                 status=rng.choice(["PENDING", "IN_PROGRESS", "COMPLETED", "ON_HOLD", "CANCELLED"]),
                                 priority=rng.choice(["LOW", "MEDIUM", "HIGH"]), start_date=start, due_date=due))

    STATUS = ["PENDING", "IN_PROGRESS", "COMPLETED", "OVERDUE", "ON_HOLD", "CANCELLED"]
    PRIORITY = ["LOW", "MEDIUM", "HIGH"]

    @staticmethod
    def moment(value, last):
        if value is None:
            return None
        if len(value) == 10:
            value += "T23:59:59.999999Z" if last else "T00:00:00Z"
        return datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))

    def key(self, name, row):
        value = row[name]
        if name in ("start_date", "due_date"):
            return self.moment(value, name == "due_date")
        if name == "status":
            return self.STATUS.index(value)
        if name == "priority":
            return self.PRIORITY.index(value)
        if name == "title":
            return value.lower().encode()
        return value

    def expected(self, ordering):
        """The order by the page's words, with nothing of the program's own."""
        keys = [(k.lstrip("-"), k.startswith("-")) for k in ordering.split(",")]
        rows = sorted(self.rows, key=lambda r: r["id"], reverse=keys[-1][1])
        for name, down in reversed(keys):
            there = [r for r in rows if self.key(name, r) is not None]
            # Stable in both directions: Python keeps equal elements in their order.
            there.sort(key=lambda r: self.key(name, r), reverse=down)
            rows = there + [r for r in rows if self.key(name, r) is None]
        return [r["id"] for r in rows]

    def test_orders(self):
        for ordering in ("start_date", "-start_date", "due_date", "-due_date", "priority", "-priority", "status",
                         "-status",
                         "title", "-title", "created_at", "-created_at", "-due_date,priority", "due_date,-priority",
                         "-priority,title", "status,-due_date,title", "-start_date,-due_date,-title",
                         "title,start_date",
                         "priority,-status,-created_at"):
            with self.subTest(ordering=ordering):
                wanted = self.expected(ordering)
                for size in (7, 200):
                    got = [r["id"] for r in self.admin.pages(f"{self.base}?ordering={ordering}", size)]
                    self.assertEqual(got, wanted)
                self.assertEqual([r["id"] for r in self.backwards(f"{self.base}?ordering={ordering}&page_size=7")],
                                 wanted)
        self.assertEqual([r["id"] for r in self.admin.pages(self.base, 7)], self.expected("start_date"))

    def backwards(self, path):
        """All rows, walked to the end and then back by `previous`."""
        page = self.ok(self.admin.get(path))
        while page["next"]:
            page = self.ok(self.admin.get(page["next"]))
        rows = page["results"]
        while page["previous"]:
            page = self.ok(self.admin.get(page["previous"]))
            self.assertIsNotNone(page["next"])
            rows = page["results"] + rows
        return rows

    def test_shape_and_links(self):
        page = self.ok(
    self.admin.get(
        self.base +
         "?page_size=25&count=true&fields=id&status=PENDING&status=ON_HOLD&search="))
        self.assertEqual(list(page), ["next", "previous", "count", "results"])
        for part in ("page_size=25", "count=true", "fields=id", "status=PENDING", "status=ON_HOLD"):
            if page["next"]:
                self.assertIn(part, page["next"])
        self.assertEqual(page["count"], sum(r["status"] in ("PENDING", "ON_HOLD") for r in self.rows))
        self.assertEqual([set(r) for r in page["results"][:1]], [{"id"}])
        first = self.ok(self.admin.get(self.base))
        self.assertEqual((len(first["results"]), "count" in first, first["previous"]), (50, False, None))
        self.assertTrue(first["next"].startswith(self.base + "?"))
        self.assertEqual(len(self.ok(self.admin.get(self.base + "?page_size=200"))["results"]), 60)
        self.assertEqual(self.ok(self.admin.get(self.base + "?page_size=60"))["next"], None)
        self.assertEqual(self.ok(self.admin.get(self.base + "?page_size=200&count=false")).get("count"), None)
        self.assertTrue(
    self.ok(
        self.admin.get(
            self.base.rstrip("/") +
            "?page_size=1"))["next"].startswith(
                self.base.rstrip("/")))
        second = self.ok(self.admin.get(first["next"]))
        self.assertEqual(self.ok(self.admin.get(second["previous"])), first)

    def test_bad_parameters(self):
        for text, name in (("page_size=", "page_size"), ("page_size=-1", "page_size"), ("page_size=1.5", "page_size"),
                           ("page_size=abc", "page_size"), ("page_size=10&page_size=10", "page_size"),
                           ("page_size=%D9%A3", "page_size"), ("page_size=99999999999999999999", "page_size"),
                           ("count=1", "count"), ("count=True", "count"), ("count=", "count"), ("fields=", "fields"),
                           ("fields=id,,title", "fields"), ("fields=id,nope", "fields"), ("fields=subtasks", "fields"),
                           ("fields=id&fields=title", "fields"), ("ordering=id", "ordering"),
                           ("ordering=-", "ordering"),
                           ("ordering=Title", "ordering"), ("ordering=title,,status", "ordering"),
                           ("ordering=title,-title", "ordering"), ("ordering=%2Btitle", "ordering"),
                           ("ordering=title&ordering=status", "ordering"), ("search=a&search=b", "search"),
                           ("status=", "status"), ("status=DONE", "status"), ("status=Pending", "status"),
                           ("status=PENDING,ON_HOLD", "status"), ("status=PENDING&status=x", "status"),
                           ("priority=1", "priority"),
                           ("project=0", "project"), ("project=-1", "project"), ("project=x", "project"),
                           ("project=", "project"),
                           ("project=9223372036854775808", "project"), ("created_by=nobody", "created_by"),
                           ("created_by=", "created_by"),
                           ("collaborator=x", "collaborator"), ("parent=0", "parent"), ("parent=None", "parent"),
                           ("parent=", "parent"),
                           ("due_before=2026-02-30", "due_before"), ("due_before=2026-01-01T00:00:00", "due_before"),
                           ("due_before=", "due_before"), ("due_after=now", "due_after"),
                           ("due_before=2026-01-01&due_before=2026-01-01", "due_before"), ("Status=PENDING", "Status"),
                           ("status%5B%5D=PENDING", "status[]"), ("limit=5", "limit"), ("offset=5", "offset"),
                           ("page=2", "page"),
                           ("=x", ""), ("cursor=", "cursor"), ("cursor=x", "cursor")):
            for path in (TASKS, self.base):
                with self.subTest(query=text):
                    self.problem(self.admin.get(f"{path}?{text}"), 400, parameter=name)
        self.assertEqual(self.admin.get(self.base + "?search=%ff").status, 400)
        self.assertEqual(self.admin.get(self.base + "?search=%00").status, 400)

    def test_filters(self):
        count = len(self.rows)
        for status in self.STATUS:
            self.assertEqual({r["id"] for r in self.admin.pages(f"{self.base}?status={status}", 5)},
                             {r["id"] for r in self.rows if r["status"] == status})
        two = {r["id"] for r in self.rows if r["status"] in ("PENDING", "CANCELLED")
               and r["priority"] in ("LOW", "HIGH")}
        self.assertEqual({r["id"] for r in self.admin.pages(
            self.base + "?status=PENDING&status=CANCELLED&priority=LOW&priority=HIGH&status=PENDING", 3)}, two)
        for text, number in (("project=424242", 0), ("project=9223372036854775807", 0), ("parent=424242", 0),
                             ("created_by=nobody@example.com", 0), ("collaborator=nobody@example.com", 0),
                             (f"project={self.project['id']}&project=424242", count), ("parent=none&parent=5", count),
                             (f"created_by={self.admin.email}&created_by=nobody@example.com", count),
                             (f"created_by={self.manager.email}", 0)):
            self.assertEqual(len(self.admin.pages(f"{self.base}?{text}")), number, text)
        lower = self.moment(day(5) + "T12:00:00Z", True)
        for name, test in (("due_before", lambda m: m < lower), ("due_after", lambda m: m >= lower)):
            wanted = {r["id"] for r in self.rows if r["due_date"] and test(self.moment(r["due_date"], True))}
            for value in (day(5) + "T12:00:00Z", day(5) + "T14:00:00+02:00"):
                self.assertEqual({r["id"] for r in self.admin.pages(self.base + query(**{name: value}))}, wanted)
        both = self.admin.pages(self.base + query(due_after=day(5), due_before=day(6)))
        self.assertEqual({r["due_date"][:10] for r in both}, {day(5)})

    def test_search(self):
        p = project(self.admin, name="Zürich İstanbul Straße")
        titles = ["100% done", "100 done", "a_b", "aXb", "back\\slash", "backslash", "quote ' \" ; --", "e\u0301tude",
                  "\u00e9tude", "ΣΊΣΥΦΟΣ", "日本語テスト", "two  words", "tab\tbed", "👩‍👩‍👧 family", "ÀÉ"]
        for title in titles:
            task(self.admin, p["id"], title=title, description="Body of " + title[::-1])
        base = f"/api/project/{p['id']}/tasks/"

        def found(text, **more):
            return sorted(r["title"] for r in self.admin.pages(base + query(search=text, **more)))
        for text, wanted in (("100%", ["100% done"]), ("%", ["100% done"]), ("a_b", ["a_b"]), ("_", ["a_b"]),
                             ("\\", ["back\\slash"]), ("back\\s", ["back\\slash"]), ("' \"", ["quote ' \" ; --"]),
                             ("-- ;", ["quote ' \" ; --"]), ("é", ["ÀÉ", "étude"]), ("àé", ["ÀÉ"]), ("日本", ["日本語テスト"]),
                             ("WORDS two", ["two  words"]), ("  two\t\u00a0words\u3000", ["two  words"]),
                             ("family 👩", ["👩‍👩‍👧 family"]),
                             ("two nothing", []), ("tab bed", ["tab\tbed"]), ("enod", ["100 done", "100% done"]),
                             ("zürich backslash", ["backslash"]), ("ZÜRICH a_b", ["a_b"]),
                             ("medium pending a_b", ["a_b"]),
                             ("high a_b", [])):
            self.assertEqual(found(text), sorted(wanted), text)
        for text in ("", " ", "\t\u3000", "pend", "str", "MEDIUM", "straße"):
            self.assertEqual(len(found(text)), len(titles), text)
        self.assertEqual(self.ok(self.admin.get(base + "?search=two+words&count=true"))["count"], 1)
        # An empty ordering counts as absent.
        self.assertEqual([r["id"] for r in self.admin.pages(self.base + "?ordering=")], self.expected("start_date"))
        # The cursor goes on through what has to be escaped.
        self.assertEqual(len(self.admin.pages(base + query(search="of %"), 1)), 1)
        self.assertEqual(len(self.admin.pages(base + query(search="body OF"), 2)), len(titles))

    def test_cursors(self):
        page = self.ok(self.admin.get(self.base + "?page_size=5&status=PENDING&ordering=title"))
        cursor = cursor_of(page["next"])
        for path in (self.base + f"?page_size=5&status=PENDING&ordering=-title&cursor={cursor}",
                     self.base + f"?page_size=5&status=PENDING&cursor={cursor}",
                     self.base + f"?page_size=5&ordering=title&cursor={cursor}",
                     self.base + f"?page_size=5&status=PENDING&ordering=title&search=a&cursor={cursor}",
                     f"{TASKS}?page_size=5&status=PENDING&ordering=title&cursor={cursor}",
                     f"/api/project/trash/?cursor={cursor}", f"{PROJECTS}?cursor={cursor}",
                     f"/api/project/tasks/{self.rows[0]['id']}/subtasks/?status=PENDING&ordering=title&cursor={cursor}"):
            self.problem(self.admin.get(path), 400, "bad-cursor")
        good = self.base + f"?page_size=5&status=PENDING&ordering=title&cursor="
        self.ok(self.admin.get(good + cursor))
        for edited in (cursor[:-1], cursor + "A", cursor + "=", "B" + cursor[1:], cursor.swapcase(), "AAAA", "!" * 30,
                       cursor * 2,
                       cursor[:10] + ("A" if cursor[10] != "A" else "B") + cursor[11:]):
            self.problem(self.admin.get(good + urllib.parse.quote(edited)), 400, "bad-cursor")
        self.problem(self.admin.get(good + cursor + "&cursor=" + cursor), 400, parameter="cursor")

    def test_walk_while_rows_come_and_go(self):
        p = project(self.admin)
        base = f"/api/project/{p['id']}/tasks/"
        stay, go = [], []
        for n in range(24):
            t = task(self.admin, p["id"], title=f"r{n % 5}", due_date=None if n % 4 == 0 else day(n % 3))
            (go if n % 4 == 1 else stay).append(t["id"])
        for ordering in ("title", "-due_date,title", "created_at", "-created_at"):
            for backward in (False, True):
                seen, path, n = [], f"{base}?ordering={ordering}&page_size=3", 0
                removed = []
                if backward:
                    page = self.ok(self.admin.get(path))
                    while page["next"]:
                        page = self.ok(self.admin.get(page["next"]))
                    seen, path = [r["id"] for r in page["results"]], page["previous"]
                while path:
                    page = self.ok(self.admin.get(path))
                    seen += [r["id"] for r in page["results"]]
                    path = page["previous" if backward else "next"]
                    n += 1
                    extra = task(self.admin, p["id"], title=f"r{n % 5}", due_date=day(n % 3))
                    removed.append(extra["id"])
                    if go and n % 2:
                        removed.append(go[-1])
                        self.assertEqual(self.admin.delete(f"{TASKS}{go.pop()}/").status, 204)
                self.assertEqual(sorted(i for i in seen if i in stay), sorted(stay), (ordering, backward))
                self.assertEqual(len(seen), len(set(seen)))
                for each in removed:
                    self.admin.delete(f"{TASKS}{each}/")
        # The row that a cursor names is gone: the walk goes on behind its place.
        page = self.ok(self.admin.get(f"{base}?ordering=created_at&page_size=3"))
        self.assertEqual(self.admin.delete(f"{TASKS}{page['results'][-1]['id']}/").status, 204)
        stay = [i for i in stay if i != page["results"][-1]["id"]]
        rest = self.admin.pages(page["next"])
        self.assertEqual([r["id"] for r in page["results"][:-1] + rest if r["id"] in stay], stay)

    def test_empty_pages(self):
        p = project(self.admin)
        base = f"/api/project/{p['id']}/tasks/"
        for path in (base, base + "?count=true", TASKS + "?status=OVERDUE", base + "?fields=id,key"):
            page = self.ok(self.admin.get(path))
            self.assertEqual((page["next"], page["previous"], page["results"], page.get("count", 0)),
                             (None, None, [], 0))
        t = task(self.admin, p["id"])
        fields = {base + "?status=OVERDUE&": "id", f"{TASKS}{t['id']}/subtasks/?": "key",
                  f"{TASKS}{t['id']}/collaborators/?": "user",
                  "/api/project/trash/?project=424242&": "deleted_at"}
        for path, name in fields.items():
            self.assertEqual(self.ok(self.admin.get(path + "fields=" + name))["results"], [])
            self.problem(self.admin.get(path + "fields=nope"), 400, parameter="fields")
            self.problem(self.admin.get(path + "nope=1"), 400, parameter="nope")
        self.problem(self.admin.get(f"{TASKS}424242/subtasks/?fields=nope"), 400, parameter="fields")
        self.problem(self.admin.get(f"{TASKS}424242/subtasks/"), 404)
        self.problem(self.admin.get(f"{TASKS}424242/collaborators/"), 404)
        self.problem(self.admin.get("/api/project/424242/tasks/"), 404)
        self.problem(self.developer.get(base), 404)

    def test_nested_lists(self):
        p = project(self.admin)
        parent = task(self.admin, p["id"])
        path = f"{TASKS}{parent['id']}/"
        subs = [self.ok(self.admin.post(path + "subtasks/", {"title": f"s{n}", "priority": ["LOW", "HIGH"][n % 2]}),
                        201)["id"]
                for n in range(5)]
        self.assertEqual([r["id"] for r in self.admin.pages(path + "subtasks/", 2)], subs)
        page = self.ok(self.admin.get(
            f"/api/project/{p['id']}/tasks/{parent['key']}/subtasks/?page_size=2&count=true&ordering=-title"))
        self.assertEqual(([r["title"] for r in page["results"]], page["count"]), (["s4", "s3"], 5))
        self.assertTrue(page["next"].startswith(f"/api/project/{p['id']}/tasks/{parent['key']}/subtasks/?"))
        self.assertEqual([r["title"] for r in self.ok(self.admin.get(page["next"]))["results"]], ["s2", "s1"])
        self.assertEqual(len(self.admin.pages(path + "subtasks/?priority=HIGH&search=s")), 2)
        self.assertEqual({r["id"] for r in self.admin.pages(f"{TASKS}?parent={parent['id']}")}, set(subs))
        self.assertEqual({r["id"] for r in self.admin.pages(f"{TASKS}?project={p['id']}")}, {parent["id"], *subs})
        self.assertEqual({r["id"] for r in self.admin.pages(f"{TASKS}?project={p['id']}&parent=none")}, {parent["id"]})
        self.assertNotIn("subtasks", self.ok(self.admin.get(f"{TASKS}?project={p['id']}"))["results"][0])
        for person in (self.manager, self.developer):
            collaborate(self.admin, p["id"], person)
            self.ok(self.admin.post(f"{path}collaborators/{person.email}/"), 201)
        entries = self.admin.pages(path + "collaborators/", 1)
        self.assertEqual([e["user"]["email"] for e in entries], [self.manager.email, self.developer.email])
        self.assertEqual(entries, self.ok(self.admin.get(path))["collaborators"])
        page = self.ok(self.admin.get(path + "collaborators/?page_size=1&count=true&fields=user"))
        self.assertEqual((page["count"], set(page["results"][0])), (2, {"user"}))
        second = self.ok(self.admin.get(page["next"]))
        self.assertEqual((second["next"], self.ok(self.admin.get(second["previous"]))["results"]),
                         (None, page["results"]))
        for tail in ("subtasks/", "collaborators/"):
            self.problem(self.admin.get(path + tail + "?page_size=201"), 400, parameter="page_size")
        self.problem(self.admin.get(path + "collaborators/?search=x"), 400, parameter="search")
        # In a project's collaborators, too.
        self.assertEqual(len(self.admin.pages(f"{PROJECTS}{p['id']}/collaborators/", 1)), 3)

    def test_single_objects(self):
        t = self.rows[0]
        path = f"{TASKS}{t['id']}/"
        self.assertEqual(self.ok(self.admin.get(path + "?fields=title,id,subtasks")),
                         {"id": t["id"], "title": t["title"], "subtasks": []})
        for text, name in (("fields=nope", "fields"), ("fields=id,", "fields"), ("fields=", "fields"),
                           ("page_size=5", "page_size"),
                           ("status=PENDING", "status"), ("count=true", "count"), ("fields=id&fields=id", "fields")):
            self.problem(self.admin.get(f"{path}?{text}"), 400, parameter=name)
            self.problem(self.admin.get(f"{TASKS}424242/?{text}"), 400, parameter=name)
        before = self.admin.get(path)
        self.problem(self.admin.patch(path + "?fields=nope", {"title": "never"}), 400, parameter="fields")
        self.problem(self.admin.patch(path + "?x=1", {"title": "never"}), 400, parameter="x")
        self.problem(self.admin.delete(path + "?x=1"), 400, parameter="x")
        self.problem(self.admin.post(self.base + "?x=1", {"title": "never"}), 400, parameter="x")
        self.problem(self.admin.post(f"{path}restore/?x=1"), 400, parameter="x")
        self.problem(self.admin.post(f"{path}collaborators/{self.manager.email}/?x=1"), 400, parameter="x")
        self.assertEqual(self.admin.get(path).body, before.body)
        answer = self.admin.patch(path + "?fields=id,version", {"title": t["title"]})
        self.assertEqual(set(self.ok(answer)), {"id", "version"})
        got, head = self.admin.get(path), self.admin.send("HEAD", path)
        self.assertEqual((head.status, head.body, head.headers["ETag"], head.headers["Content-Length"]),
                         (200, b"", got.headers["ETag"], str(len(got.body))))
        self.assertEqual((self.admin.send("HEAD", TASKS).status, self.admin.send("HEAD", f"{TASKS}424242/").status),
                         (200, 404))
        self.assertEqual(self.admin.send("HEAD", TASKS + "?page_size=0").status, 400)
        tag = got.headers["ETag"]
        for header, status in ((tag, 304), (f"W/{tag}", 304), ("*", 304), (f'"a", "b" ,{tag}', 304), ('"a"', 200),
                               (tag[1:-1], 200)):
            answer = self.admin.get(path, headers={"If-None-Match": header})
            self.assertEqual((answer.status, answer.headers["ETag"]), (status, tag))
            self.assertEqual(answer.body == b"", status == 304)
