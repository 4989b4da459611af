"""What section 1 says of single objects and of writing, asked of every object and every route there is."""
from support import *

MERGE = {"Content-Type": "application/merge-patch+json"}


class World(TaskCase):
    """One of everything, and where it is found."""

    @classmethod
    def setUpClass(cls):
        cls.admin = sign_up()
        cls.person = add_user(cls.admin)
        department = cls.admin.post(DEPARTMENTS, {"department_name": unique("Department")})
        cls.project = project(cls.admin)
        collaborate(cls.admin, cls.project["id"], cls.person)
        cls.task = task(cls.admin, cls.project["id"], collaborators=[cls.person.email])
        one, below = f"{PROJECTS}{cls.project['id']}/", f"/api/project/{cls.project['id']}/tasks/"
        # Where it is, whether it is written to, a change that is one, and one that cannot be accepted.
        cls.objects = {
            "organization": (ORGANIZATION, "PATCH", lambda: {"name": unique("Org")}, {"reminder_hour": 24}),
            "user": (user_path(cls.person.email), "PATCH PUT", lambda: {"last_name": unique("Name")}, {"role": "KING"}),
            "department": (department.headers["Location"], "PATCH PUT", lambda: {"department_name": unique("D")},
                           {"department_name": ""}),
            "project": (one, "PATCH PUT", lambda: {"name": unique("P")}, {"status": "DONE"}),
            "task": (task_path(cls.task), "PATCH PUT", lambda: {"title": unique("T")}, {"priority": 1}),
            "task by key": (f"{TASKS}{cls.task['key']}/", "PATCH PUT", lambda: {"title": unique("T")}, {"priority": 1}),
            "task below": (f"{below}{cls.task['id']}/", "PATCH PUT", lambda: {"title": unique("T")}, {"priority": 1}),
            "project collaborator": (f"{one}collaborators/{cls.person.email}/", "", None, None),
            "task collaborator": (f"{task_path(cls.task)}collaborators/{cls.person.email}/", "", None, None),
            "task collaborator below": (f"{below}{cls.task['key']}/collaborators/{cls.person.email}/", "", None, None),
            "preferences": (PREFERENCES, "PUT", lambda: {"reminder_hour": next(cls.hours)}, {"reminder_hour": 24}),
        }
        cls.hours = itertools.count(1)

    def each(self, written=False):
        for name, (path, methods, change, wrong) in self.objects.items():
            for method in methods.split() if written else ("GET",):
                with self.subTest(object=name, method=method):
                    yield path, method, change, wrong

    def whole(self, path, method, fields):
        """The body of a PUT has what is required as well."""
        if method == "PATCH" or path == PREFERENCES:
            return fields
        now = self.ok(self.admin.get(path))
        required = {name: now[name] for name in ("first_name", "last_name", "role", "department",
                                                 "department_name", "name",
                                                 "title", "description") if name in now}
        if path.startswith(USERS):
            required.pop("name")
        if "department" in required:
            required["department"] = (required["department"] or {}).get("id")
        return {**required, **fields}


class Objects(World):
    def test_reading(self):
        for path, _, _, _ in self.each():
            got = self.admin.get(path)
            body, tag = self.ok(got), got.headers["ETag"]
            self.assertRegex(tag, r'^"\d+"$')
            if "version" in body:
                self.assertEqual(tag, f'"{body["version"]}"')
            self.assertEqual(got.headers["Cache-Control"], "private, no-cache")
            bare = self.admin.get(path.rstrip("/"))
            self.assertEqual((bare.body, bare.headers["ETag"]), (got.body, tag))
            head = self.admin.send("HEAD", path)
            self.assertEqual((head.status, head.body, head.headers["ETag"], head.headers["Content-Length"]),
                             (200, b"", tag, str(len(got.body))))
            for given, status in ((tag, 304), (f"W/{tag}", 304), ("*", 304),
                                  (f'"77777", {tag}', 304), ('"77777"', 200)):
                for method in ("GET", "HEAD"):
                    answer = self.admin.send(method, path, headers={"If-None-Match": given})
                    self.assertEqual((answer.status, answer.headers["ETag"]), (status, tag), given)
                    self.assertTrue(status == 200 and method == "GET" or answer.body == b"")
            some = list(body)[:2]
            self.assertEqual(self.ok(self.admin.get(f"{path}?fields={','.join(reversed(some))}")),
                             {name: body[name] for name in some})
            for query, parameter in (("fields=nope", "fields"), ("fields=", "fields"), (f"fields={some[0]},", "fields"),
                                     (f"fields={some[0]}&fields={some[1]}", "fields"), ("page_size=1", "page_size"),
                                     ("x=", "x")):
                self.problem(self.admin.get(f"{path}?{query}"), 400, parameter=parameter)
            self.problem(Client().get(path), 401)

    def test_writing(self):
        for path, method, change, wrong in self.each(written=True):
            def send(fields, **kw):
                return self.admin.send(method, path, self.whole(path, method, fields), **kw)
            before = self.admin.get(path)
            tag = before.headers["ETag"]
            # What is refused changes nothing: a query that cannot be answered, an old tag, a wrong field.
            for query, parameter in (("fields=nope", "fields"), ("fields=", "fields"), ("x=1", "x")):
                answer = self.admin.send(method, f"{path}?{query}", self.whole(path, method, change()))
                self.problem(answer, 400, parameter=parameter)
            for stale in ('"77777"', f"W/{tag}", '"a", "b"', "nonsense"):
                self.problem(send(change(), headers={"If-Match": stale}), 412)
            # The precondition is judged before the fields.
            self.problem(send(wrong, headers={"If-Match": '"77777"'}), 412)
            self.problem(send(wrong), 422, pointer=f"/{list(wrong)[0]}")
            self.problem(send({"zzz": 1}), 422, pointer="/zzz", field_code="unknown-field")
            self.assertEqual(self.admin.get(path).body, before.body)
            # What changes nothing has the same tag, what changes something another one.
            same = send({})
            if path != PREFERENCES:
                self.assertEqual((self.ok(same), same.headers["ETag"]), (before.json, tag))
            changed = send(change(), headers={"If-Match": f'"77777", {tag}'})
            self.ok(changed)
            self.assertNotEqual(changed.headers["ETag"], tag)
            got = self.admin.get(path)
            self.assertEqual((got.body, got.headers["ETag"]), (changed.body, changed.headers["ETag"]))
            self.problem(send(change(), headers={"If-Match": tag}), 412)
            self.ok(send(change(), headers={"If-Match": "*"}))
            name = list(before.json)[0]
            self.assertEqual(set(self.ok(self.admin.send(method, f"{path}?fields={name}",
                                                         self.whole(path, method, change())))), {name})

    def test_forms(self):
        for path, method, change, _ in self.each(written=True):
            body = json.dumps(self.whole(path, method, change())).encode()
            answer = self.admin.send(method, path, raw=body, headers=MERGE)
            self.assertEqual(answer.status, 200 if method == "PATCH" else 415, answer)
            for kind in ("text/plain", "application/xml", "multipart/form-data; boundary=x", None,
                         "application/json; charset=latin1"):
                self.problem(self.admin.send(method, path, raw=body, headers={"Content-Type": kind}), 415)
            for raw in (b"", b"[]", b"null", b'"x"', b"{", b'{"a": 1, "a": 2}', b'{"a": "\\udfff"}', b"\xff{}",
                        b'{"a": ' * 33 + b"1" + b"}" * 33):
                self.problem(self.admin.send(method, path, raw=raw), 400)
            self.problem(self.admin.send(method, path, raw=b'{"a": "' + b"x" * (1 << 20) + b'"}'), 413)

    def test_read_only_fields_may_be_repeated(self):
        for path, method, _, _ in self.each(written=True):
            if path == PREFERENCES:
                continue
            before = self.admin.get(path)
            body = before.json
            if isinstance(body.get("department"), dict):
                body["department"] = body["department"]["id"]
            answer = self.admin.send(method, path, body)
            self.assertEqual((self.ok(answer), answer.headers["ETag"]), (before.json, before.headers["ETag"]))
            for name in ("id", "created_at", "updated_at", "version", "email", "key", "created_by", "collaborators"):
                if name in body:
                    self.problem(self.admin.send(method, path, {**body, name: "other"}), 422, pointer=f"/{name}",
                                 field_code="read-only")
        # One's own names, where nothing is read under the path that is written.
        me = self.ok(self.admin.get("/api/account/"))["user"]
        answer = self.admin.patch("/api/account/", me)
        self.assertEqual(self.ok(answer), me)
        for name in ("role", "email", "is_active", "department", "id", "profile_img"):
            self.problem(self.admin.patch("/api/account/", {name: "other"}),
                         422, pointer=f"/{name}", field_code="read-only")
        self.problem(self.admin.patch("/api/account/?fields=nope", {"first_name": "Never"}), 400, parameter="fields")
        self.problem(self.admin.patch("/api/account/", {"first_name": "Never"}, headers={"If-Match": '"77777"'}), 412)
        self.assertEqual(self.ok(self.admin.get("/api/account/"))["user"], me)

    def test_what_is_not_there(self):
        for name in ("0", "-1", "x", "1.0", "9223372036854775808", "424242", "NOKEY-7"):
            for root, body in ((TASKS, {"title": "x", "parent_task": self.task["id"]}), (PROJECTS, {"name": "x"}),
                               (DEPARTMENTS, {"department_name": "x"}),
                               (f"/api/project/{self.project['id']}/tasks/", {"title": "x", "parent_task": 1})):
                for method in ("GET", "PUT", "PATCH", "DELETE"):
                    answer = self.admin.send(method, f"{root}{name}/", body if method[0] == "P" else None)
                    self.problem(answer, 404)
                self.assertEqual(self.admin.send("HEAD", f"{root}{name}/").status, 404)
        for method in ("GET", "PUT", "PATCH"):
            self.problem(
    self.admin.send(
        method,
        user_path("nobody@example.com"),
        {} if method[0] == "P" else None),
         404)
        for name in ("nobody@example.com", "no-address", "a@b@c", "%00", "%ff"):
            for path in (f"{PROJECTS}{self.project['id']}/", task_path(self.task)):
                for method in ("GET", "POST", "DELETE"):
                    self.assertIn(self.admin.send(method, f"{path}collaborators/{name}/").status,
                                  (400, 404) if name[0] == "%" else (404,))


class Lengths(World):
    def test_code_points(self):
        """255 or 100 of them, whatever they are made of, kept as they are."""
        texts = ("x", "\U0001f600", "\u0301", "\u200d", "\ufeff", "\u202e")

        def write(path, name, text, method="PATCH", **more):
            return self.admin.send(method, path, {name: text, **more})
        for text in texts:
            for path, name, most in ((ORGANIZATION, "name", 255), (user_path(self.person.email), "first_name", 100),
                                     (user_path(self.person.email), "last_name", 100),
                                     ("/api/account/", "last_name", 100),
                                     (self.objects["department"][0], "department_name", 255),
                                     (f"{PROJECTS}{self.project['id']}/", "name", 255),
                                     (task_path(self.task), "title", 255)):
                whole = "a" + text * (most - 1)
                answer = write(path, name, whole)
                self.assertEqual(self.ok(answer)[name], whole, (path, name, text))
                if path != "/api/account/":
                    self.assertEqual(self.ok(self.admin.get(path))[name], whole)
                self.problem(write(path, name, whole + text), 422, pointer=f"/{name}", field_code="too-long")
                for blank in ("", " ", "\t\n", "\u00a0", "\u3000\u2003", "\u2028"):
                    self.problem(write(path, name, blank), 422, pointer=f"/{name}", field_code="blank")
                self.problem(write(path, name, "a\x00"), 422, pointer=f"/{name}", field_code="nul-character")
                for wrong in (None, 1, True, ["a"], {"a": 1}):
                    self.problem(write(path, name, wrong), 422, pointer=f"/{name}")
        for path in (f"{PROJECTS}{self.project['id']}/", task_path(self.task)):
            for text in ("\U0001f600" * 100_000, "", " \n", "\r\n\t"):
                self.assertEqual(self.ok(write(path, "description", text))["description"], text)
                self.assertEqual(self.ok(self.admin.get(path))["description"], text)
            self.problem(
    write(
        path,
        "description",
        "\u0301" *
        100_001),
        422,
        pointer="/description",
         field_code="too-long")
            self.problem(write(path, "description", None), 422, pointer="/description")

    def test_canonically_equal_is_not_the_same(self):
        """Text is kept code point for code point: another spelling of one letter is a change."""
        for path, name in ((ORGANIZATION, "name"), (self.objects["department"][0], "department_name"),
                           (f"{PROJECTS}{self.project['id']}/", "name"), (task_path(self.task), "title"),
                           (task_path(self.task), "description"), (f"{PROJECTS}{self.project['id']}/", "description"),
                           (user_path(self.person.email), "last_name")):
            ending = unique("")
            first = self.admin.patch(path, {name: "\u00e9\u212b" + ending})
            second = self.admin.patch(path, {name: "e\u0301\u00c5" + ending})
            self.assertEqual(self.ok(first)[name], "\u00e9\u212b" + ending)
            self.assertEqual(self.ok(second)[name], "e\u0301\u00c5" + ending)
            self.assertNotEqual(first.headers["ETag"], second.headers["ETag"], (path, name))

    def test_names_ignore_case_beyond_ascii(self):
        stamp = unique("")
        for root, name in ((DEPARTMENTS, "department_name"), (PROJECTS, "name")):
            self.ok(self.admin.post(root, {name: "Ärger ΔΕΛΤΑ ж" + stamp}), 201)
            self.problem(self.admin.post(root, {name: "äRGER δελτα Ж" + stamp.upper()}), 409, "name-taken")
            # Another spelling is another name, and one with more around it too.
            self.ok(self.admin.post(root, {name: "A\u0308rger ΔΕΛΤΑ ж" + stamp}), 201)
            self.ok(self.admin.post(root, {name: " Ärger ΔΕΛΤΑ ж" + stamp}), 201)
