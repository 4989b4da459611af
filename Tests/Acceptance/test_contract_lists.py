"""What section 1 says of lists, asked of every list there is."""
from support import *


class EveryList(Case):
    @classmethod
    def setUpClass(cls):
        cls.admin = sign_up()
        cls.people = [add_user(cls.admin, "MANAGER", first_name=name) for name in ("Ärne", "ärne", "Zoe")]
        for name in ("Ω", "ω2", "b", "A"):
            assert cls.admin.post(DEPARTMENTS, {"department_name": name}).status == 201
        cls.project = project(cls.admin)
        one = f"{PROJECTS}{cls.project['id']}/"
        for person in cls.people:
            collaborate(cls.admin, cls.project["id"], person)
        cls.task = task(cls.admin, cls.project["id"], collaborators=[p.email for p in cls.people])
        for number in range(3):
            cls.admin.post(task_path(cls.task) + "subtasks/", {"title": f"s{number}"})
            assert cls.admin.delete(task_path(task(cls.admin, cls.project["id"]))).status == 204
            assert cls.admin.delete(f"{PROJECTS}{project(cls.admin)['id']}/").status == 204
            project(cls.admin)
            log_in(cls.admin.email)
            task(cls.people[0], cls.project["id"], collaborators=[cls.people[1].email])
        below = f"/api/project/{cls.project['id']}/tasks/"
        cls.lists = {
            USERS: cls.admin, DEPARTMENTS: cls.admin, "/api/organization/members/": cls.people[0],
            "/api/project_management/": cls.admin, PROJECTS: cls.admin, one + "collaborators/": cls.people[1],
            "/api/project_management/trash/": cls.admin, TASKS: cls.admin, below: cls.people[2],
            task_path(cls.task) + "subtasks/": cls.admin, f"{below}{cls.task['key']}/subtasks/": cls.people[0],
            task_path(cls.task) + "collaborators/": cls.admin,
            f"{below}{cls.task['key']}/collaborators/": cls.people[0],
            "/api/project/trash/": cls.admin, "/api/account/sessions/": cls.admin, NOTICES: cls.people[1],
        }
        eventually(lambda: len(cls.people[1].pages(NOTICES)) >= 5)

    def each(self):
        for path, client in self.lists.items():
            with self.subTest(list=path):
                yield path, client

    def test_shape_pages_and_counts(self):
        for path, client in self.each():
            answer = client.get(path)
            body = self.ok(answer)
            self.assertEqual(list(body), ["next", "previous", "results"])
            self.assertIn(answer.headers["Cache-Control"], ("private, no-cache", "no-store"))
            rows = body["results"]
            self.assertGreaterEqual(len(rows), 3)
            self.assertEqual(self.ok(client.get(path.rstrip("/")))["results"], rows)
            head = client.send("HEAD", path)
            self.assertEqual(
                (head.status, head.body, head.headers["Content-Length"]), (200, b"", str(len(answer.body))))
            for size in (1, 2, 200):
                page = self.ok(client.get(f"{path}?page_size={size}&count=true"))
                self.assertEqual(
    (page["count"], len(
        page["results"]), page["previous"]), (len(rows), min(
            size, len(rows)), None))
                self.assertEqual(page["next"] is None, size >= len(rows))
                self.assertEqual(client.pages(path, size), rows)
            # There and back again, each page once more the same.
            pages = [self.ok(client.get(path + "?page_size=2"))]
            while pages[-1]["next"]:
                self.assertTrue(pages[-1]["next"].startswith(path))
                pages.append(self.ok(client.get(pages[-1]["next"])))
            back = pages[-1]
            for page in reversed(pages[:-1]):
                back = self.ok(client.get(back["previous"]))
                self.assertEqual(back["results"], page["results"])
            self.assertIsNone(back["previous"])
            names = list(rows[0])[:2]
            self.assertEqual(self.ok(client.get(f"{path}?fields={','.join(names)}"))["results"],
                             [{n: row[n] for n in names} for row in rows])

    def test_what_is_refused(self):
        cursors = {path: urllib.parse.parse_qs(urllib.parse.urlsplit(
            self.ok(client.get(path + "?page_size=1"))["next"]).query)["cursor"][0]
            for path, client in self.lists.items()}
        stranger = sign_up()
        for path, client in self.each():
            for query, name in (("page_size=0", "page_size"), ("page_size=201", "page_size"),
                                ("page_size=-1", "page_size"),
                                ("page_size=", "page_size"), ("page_size=1e1", "page_size"),
                                ("page_size=+5", "page_size"),
                                ("page_size=5&page_size=5", "page_size"), ("count=yes", "count"),
                                ("count=TRUE", "count"),
                                ("fields=", "fields"), ("fields=nope", "fields"), ("fields=id%20", "fields"),
                                ("cursor=", "cursor"), ("cursor=x", "cursor"), ("offset=0", "offset"),
                                ("page=1", "page"),
                                ("Page_size=1", "Page_size"), ("%C3%A9=1", "é")):
                self.problem(client.get(f"{path}?{query}"), 400, parameter=name)
            for other, cursor in cursors.items():
                answer = client.get(f"{path}?page_size=1&cursor={cursor}")
                aliases = {"/api/project_management/": PROJECTS, PROJECTS: "/api/project_management/"}
                if other == path or aliases.get(path) == other:
                    self.assertEqual(answer.status, 200, (path, other))
                elif answer.status == 200:
                    # The two paths of one list may share their cursors.
                    self.assertEqual(other.split("/")[-2], path.split("/")[-2], (path, other))
                else:
                    self.problem(answer, 400, "bad-cursor")
            cursor = cursors[path]
            for edited in (cursor[:-1], cursor + "A", cursor[::-1], cursor[:8] + cursor[9:]):
                self.problem(client.get(f"{path}?page_size=1&cursor={urllib.parse.quote(edited)}"), 400, "bad-cursor")
            self.problem(Client().get(path), 401)
            self.problem(Client().get(path + "?page_size=0"), 401)
        for path in (USERS, PROJECTS, TASKS, NOTICES, "/api/account/sessions/"):
            self.problem(stranger.get(f"{path}?page_size=1&cursor={cursors[path]}"), 400, "bad-cursor")

    def test_order_and_search_beyond_ascii(self):
        names = [r["department_name"] for r in self.admin.pages(DEPARTMENTS, 1)]
        self.assertEqual(names, ["A", "b", "Ω", "ω2"])
        for text, count in (("ÄRNE", 2), ("ärne", 2), ("äRne EXAMPLE", 2), ("MANAGER ÄR", 2), ("ärne zoe", 0)):
            found = self.ok(self.admin.get("/api/organization/members/" + query(search=text)))["results"]
            self.assertEqual(len(found), count, text)
        found = self.ok(self.admin.get(USERS + query(search="ärne person", ordering="-name")))["results"]
        self.assertEqual([u["first_name"].lower() for u in found], ["ärne", "ärne"])
        for text in ("%", "_", "\\", "ä%", "Ärne%Person"):
            self.assertEqual(self.ok(self.admin.get(USERS + query(search=text)))["results"], [], text)

    def test_new_rows_at_both_ends_while_walking(self):
        """Rows that were there throughout come exactly once, whatever is put before and behind them meanwhile."""
        for path, key in ((PROJECTS + "?ordering=name", "name"), (PROJECTS + "?ordering=-name", "name"),
                          (DEPARTMENTS + "?", "department_name")):
            for ahead in ("next", "previous"):
                admin = sign_up()
                stamp = unique("")
                wanted = [f"m{stamp}-{number:02}" for number in range(9)]

                def make(name):
                    self.ok(admin.post(path.split("?")[0], {key: name}), 201)
                for name in wanted:
                    make(name)
                page = self.ok(admin.get(path + "&page_size=2"))
                if ahead == "previous":
                    while page["next"]:
                        page = self.ok(admin.get(page["next"]))
                seen, steps = [], 0
                while True:
                    seen += [row[key] for row in page["results"]]
                    make(f"a{stamp}-{ahead}-{steps}")
                    make(f"z{stamp}-{ahead}-{steps}")
                    steps += 1
                    if not page[ahead] or steps > 100:
                        break
                    page = self.ok(admin.get(page[ahead]))
                self.assertEqual(sorted(n for n in seen if n in wanted), wanted, (path, ahead))
                self.assertEqual(len(seen), len(set(seen)), (path, ahead))
