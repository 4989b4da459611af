"""Section 3 sentence by sentence: profile pictures."""
import struct
import zlib

from support import *


# The smallest pictures that are pictures.
def png(width=1, height=1, extra=b""):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    pixels = zlib.compress(b"\0" * 4) if width * height != 1 else zlib.compress(b"\0\xff\0\0")
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + extra
            + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))


def apng(frames):
    data = struct.pack(">II", frames, 0)
    return png(extra=struct.pack(">I", 8) + b"acTL" + data + struct.pack(">I", zlib.crc32(b"acTL" + data)))


def jpeg(width=1, height=1):
    return (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
            + b"\xff\xdb\x00\x43\x00" + b"\x01" * 64
            + b"\xff\xc0\x00\x0b\x08" + struct.pack(">HH", height, width) + b"\x01\x01\x11\x00"
            + b"\xff\xc4\x00\x14\x00\x01" + b"\x00" * 15 + b"\x00" + b"\xff\xc4\x00\x14\x10\x01" + b"\x00" * 15 + b"\x00"
            + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x37\xff\xd9")


def gif(width=1, height=1, frames=1):
    frame = b"\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00"
    return (b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\x00\x00\xff\xff\xff\x00\x00\x00" + frame * frames
            + b"\x3b")


def webp(width=1, height=1):
    bits = (width - 1) | (height - 1) << 14
    data = b"\x2f" + struct.pack("<I", bits) + b"\x07\x10\x11\x11\x88\x88\xfe\x07\x00"
    data += b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", 12 + len(data)) + b"WEBPVP8L" + struct.pack("<I", len(data)) + data


class AuditPictures(Case):
    KINDS = {
    "png": (
        png,
        "image/png"),
        "jpg": (
            jpeg,
            "image/jpeg"),
            "gif": (
                gif,
                "image/gif"),
                "webp": (
                    webp,
                     "image/webp")}

    def test_four_formats(self):
        client = sign_up()
        urls = set()
        for ending, (make, kind) in self.KINDS.items():
            with self.subTest(ending=ending):
                answer = upload(client, make(), f"me.{ending}", kind)
                body = self.ok(answer)
                self.assertEqual(set(body), {"profile_img"})
                self.assertEqual(answer.headers["Cache-Control"], "no-store")
                url = urllib.parse.urlsplit(body["profile_img"])
                # 128 bits nobody guesses.
                self.assertGreaterEqual(len(url.path.rsplit("/", 1)[1].split(".")[0]), 20)
                picture = Client().get(url.path)
                self.assertEqual((picture.status, picture.headers["Content-Type"]), (200, kind))
                self.assertEqual(picture.body, make())
                self.assertEqual(picture.headers["X-Content-Type-Options"], "nosniff")
                self.assertEqual(Client().send("HEAD", url.path).status, 200)
                urls.add(url.path)
        self.assertEqual(len(urls), 4)
        self.assertEqual(client.delete(PICTURE).status, 204)

    def test_a_browser_runs_nothing_in_a_picture(self):
        client = sign_up()
        # A picture that is a page as well, for a browser that guesses.
        page = b"<html><script>fetch('/api/account/')</script></html>"
        for make, kind in self.KINDS.values():
            with self.subTest(kind=kind):
                # A WebP says how long it is, and what is longer is refused.
                data = make() if kind == "image/webp" else make() + page
                url = urllib.parse.urlsplit(self.ok(upload(client, data, "me", kind))["profile_img"])
                picture = Client().get(url.path)
                self.assertEqual((picture.status, picture.body), (200, data))
                self.assertEqual((picture.headers["Content-Type"], picture.headers["X-Content-Type-Options"]),
                                 (kind, "nosniff"))
                unchanged = Client().get(url.path, headers={"If-None-Match": picture.headers["ETag"]})
                self.assertEqual(unchanged.status, 304)
                for answer in (picture, Client().send("HEAD", url.path), unchanged):
                    # One policy: of two a browser follows both, but a proxy may keep either.
                    policies = answer.headers.get_all("Content-Security-Policy")
                    self.assertEqual(len(policies), 1, policies)
                    directives = {part.strip() for part in policies[0].split(";")}
                    self.assertEqual(directives, {"default-src 'none'", "frame-ancestors 'none'", "sandbox"})

    def test_limits(self):
        client = sign_up()
        self.ok(upload(client, png()))
        before = self.ok(client.get("/api/account/"))["user"]["profile_img"]
        cases = {
            "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg", "image/svg+xml"),
            "html": (b"<html></html>", "a.png", "image/png"), "empty": (b"", "a.png", "image/png"),
            "pdf": (b"%PDF-1.7 ...", "a.pdf", "application/pdf"),
            "a png that says jpeg": (png(), "a.jpg", "image/jpeg"), "ending": (png(), "a.gif", "image/png"),
            "type": (png(), "a.png", "image/webp"),
            "wide": (png(8193, 1), "a.png", "image/png"), "high": (jpeg(1, 9000), "a.jpg", "image/jpeg"),
            "bomb": (png(8000, 8000), "a.png", "image/png"), "gif bomb": (gif(8000, 8000), "a.gif", "image/gif"),
            "webp bomb": (webp(8192, 8192), "a.webp", "image/webp"), "jpeg bomb": (jpeg(8000, 8000), "a.jpg", "image/jpeg"),
            "frames": (gif(frames=101), "a.gif", "image/gif"), "apng frames": (apng(101), "a.png", "image/png"),
            "cut": (png()[:30], "a.png", "image/png"), "webp cut": (webp()[:20], "a.webp", "image/webp"),
            "zero": (png(0, 1), "a.png", "image/png"), "large": (png() + b"\0" * (5 * 1024 * 1024), "a.png", "image/png"),
        }
        for name, (data, file, kind) in cases.items():
            with self.subTest(name=name):
                self.problem(upload(client, data, file, kind), 422, pointer="/profile_img")
        self.assertEqual(self.ok(client.get("/api/account/"))["user"]["profile_img"], before)
        self.ok(upload(client, gif(frames=100), "a.gif", "image/gif"))
        self.ok(upload(client, png(5000, 5000)))
        self.ok(upload(client, png(), "photo", None))
        self.ok(upload(client, jpeg(), "A.JPEG", "image/jpeg"))

    def test_forms(self):
        client = sign_up()
        self.problem(client.put(PICTURE, raw=png(), headers={"Content-Type": "image/png"}), 415)
        self.problem(client.put(PICTURE, {"profile_img": "http://example.com/a.png"}), 415)
        self.problem(client.put(PICTURE, raw=b"x", headers={"Content-Type": "multipart/form-data"}), 400)
        self.problem(client.put(PICTURE, raw=b"--b\r\nbroken", headers={
            "Content-Type": "multipart/form-data; boundary=b"}), 400)
        self.problem(upload(client, png(), field="other"), 422, pointer="/profile_img")
        self.problem(upload(Client(), png()), 401)
        self.assertIn(client.delete(PICTURE).status, (204, 404))

    def test_over_six_mebibytes_is_413(self):
        client = sign_up()
        connection = http.client.HTTPConnection(client.host, client.port, timeout=20)
        connection.putrequest("PUT", PICTURE)
        connection.putheader("Authorization", f"Bearer {client.access}")
        connection.putheader("Content-Type", "multipart/form-data; boundary=b")
        connection.putheader("Content-Length", str(6 * 1024 * 1024 + 1))
        connection.endheaders()
        self.assertEqual(connection.getresponse().status, 413)
        connection.close()

    def test_a_replaced_picture_is_shown_everywhere(self):
        admin = sign_up()
        person = add_user(admin)
        p = project(admin)
        collaborate(admin, p["id"], person)
        url = self.ok(upload(person, png()))["profile_img"]

        def shown():
            members = {m["email"]: m["profile_img"] for m in admin.pages("/api/organization/members/")}
            rows = self.ok(admin.get(f"/api/project_management/projects/{p['id']}/"))["collaborators"]
            return (members[person.email] == url and
                    [r["user"]["profile_img"] for r in rows if r["user"]["email"] == person.email] == [url])
        eventually(shown)
        self.assertEqual(self.ok(admin.get(user_path(person.email)))["profile_img"], url)
        self.assertEqual(person.delete(PICTURE).status, 204)
        self.assertIsNone(self.ok(admin.get(user_path(person.email)))["profile_img"])
