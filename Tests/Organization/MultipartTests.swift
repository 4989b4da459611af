import Failures
import Identity
import Testing

@testable import OrganizationService

@Suite struct MultipartTests {
    private func form(_ text: String, boundary: String = "b") throws -> MultipartForm {
        try MultipartForm(Array(text.utf8), boundary: boundary)
    }

    private func field(_ disposition: String, _ body: String = "x") -> String {
        "--b\r\nContent-Disposition: \(disposition)\r\n\r\n\(body)\r\n--b--\r\n"
    }

    @Test func readsFields() throws {
        let form = try form(
            "preamble\r\n--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n\r\n--b \r\n"
                + "Content-Disposition: form-data; name=profile_img; filename=\"x \\\"y\\\".png\"\r\n"
                + "Content-Type: image/png\r\n\r\n\r\n--not\r\n-\r\n--b--epilogue"
        )
        #expect(form.fields.map(\.name) == ["a", "profile_img"])
        #expect(form.fields[0].body.isEmpty && form.fields[0].fileName == nil)
        #expect(form.fields[1].fileName == "x \"y\".png")
        #expect(form.fields[1].mediaType == " image/png")
        #expect(Array(form.fields[1].body) == Array("\r\n--not\r\n-".utf8))
    }

    @Test func keepsEveryByte() throws {
        let bytes = (0...255).map { UInt8($0) } + [0x0D, 0x0A, 0x2D, 0x2D, 0x0D]
        let body = Array(field("form-data; name=f").utf8)
        let parts = body.split(separator: UInt8(ascii: "x"), maxSplits: 1, omittingEmptySubsequences: false)
        let form = try MultipartForm(Array(parts[0]) + bytes + Array(parts[1]), boundary: "b")
        #expect(Array(form.fields[0].body) == bytes)
    }

    @Test func nothingAtAllIsAFormWithoutFields() throws {
        #expect(try form("--b--").fields.isEmpty)
    }

    @Test(arguments: [
        "", "--", "--b", "--b\r\n", "--bb\r\n", "nothing here", "--b\r\n\r\nx\r\n--b--",
        "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx", "--b\r\nContent-Disposition: form-data; name=a\r\n",
        "--b\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--b--",
        "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--",
        "--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--b--",
        "--b\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\nx\r\n--b--",
        "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b\r\n\r\nx\r\n--b--",
        "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n--b--",
        "--b\r\nno colon\r\n\r\nx\r\n--b--", "--b\r\nContent-Disposition: form-data; name=a\u{0}\r\n\r\nx\r\n--b--",
        "--b\nContent-Disposition: form-data; name=a\n\nx\n--b--",
    ])
    func refusesWhatIsNotAForm(_ text: String) {
        #expect(throws: MultipartError.self) { try form(text) }
    }

    @Test func survivesEveryPrefix() {
        let bytes = Array(field("form-data; name=\"profile_img\"; filename=\"a.png\"", "some body").utf8)
        for length in 0..<bytes.count { _ = try? MultipartForm(Array(bytes.prefix(length)), boundary: "b") }
    }

    @Test func refusesTooMuch() {
        let one = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n"
        #expect(throws: MultipartError.self) { try form(String(repeating: one, count: 17) + "--b--") }
        let long = "--b\r\nX: \(String(repeating: "y", count: 9000))\r\n\r\nx\r\n--b--"
        #expect(throws: MultipartError.self) { try form(long) }
    }

    @Test func findsTheBoundary() {
        #expect(MultipartForm.boundary(ofContentType: "multipart/form-data; boundary=abc") == "abc")
        #expect(MultipartForm.boundary(ofContentType: "Multipart/Form-Data;Boundary=\"a b\";") == "a b")
        for bad in [
            "multipart/form-data", "multipart/mixed; boundary=a", "multipart/form-data; boundary=",
            "multipart/form-data; boundary=a; boundary=b", "multipart/form-data; boundary=\"a",
            "multipart/form-data; boundary=é", "multipart/form-data; boundary=\(String(repeating: "a", count: 71))",
            "text/plain; boundary=a", "",
        ] { #expect(MultipartForm.boundary(ofContentType: bad) == nil, "\(bad)") }
    }

    @Test func takesOneFileAndNothingElse() throws {
        func upload(_ text: String) throws -> PictureUpload {
            try AccountRoutes.upload(Array(text.utf8), boundary: "b")
        }
        let good = try upload(field("form-data; name=profile_img; filename=a.png"))
        #expect(good.fileName == "a.png" && good.bytes == [0x78] && good.mediaType == nil)
        func codes(_ text: String) -> [String] {
            do {
                _ = try upload(text)
                return []
            } catch let failure as Failure {
                return failure.fields.map { "\($0.pointer ?? "") \($0.code)" }
            } catch { return ["\(error)"] }
        }
        #expect(
            codes(field("form-data; name=other; filename=a.png")) == ["/other unknown-field", "/profile_img required"]
        )
        #expect(codes(field("form-data; name=profile_img")) == ["/profile_img wrong-type"])
        #expect(codes("--b--") == ["/profile_img required"])
        let part = "--b\r\nContent-Disposition: form-data; name=profile_img; filename=a.png\r\n\r\nx\r\n"
        #expect(codes(part + part + "--b--") == ["/profile_img repeated"])
    }
}

@Suite struct UploadGateTests {
    private func principal(of organization: OrganizationID) -> Principal {
        Principal(
            user: .make(milliseconds: 1),
            organization: organization,
            role: .developer,
            session: .make(milliseconds: 1),
            generation: 1
        )
    }

    /// How many of these get in, all at once.
    private func admitted(_ people: [Principal], _ gate: UploadGate) async throws -> Int {
        guard let first = people.first else { return 0 }
        let rest = Array(people.dropFirst())
        do {
            return try await gate.pass(as: first) { try await admitted(rest, gate) + 1 }
        } catch let failure as Failure where failure.code == "busy" {
            return try await admitted(rest, gate)
        }
    }

    @Test func nobodyKeepsEverybodyElseOut() async throws {
        let gate = UploadGate()
        let organizations = [OrganizationID.make(milliseconds: 1), .make(milliseconds: 1)]
        let one = principal(of: organizations[0])
        let colleagues = (2...20).map { _ in principal(of: organizations[0]) }
        let others = (1...20).map { _ in principal(of: organizations[1]) }
        #expect(try await admitted([one, one, one], gate) == 2)
        #expect(try await admitted(colleagues, gate) == 12)
        #expect(try await admitted(colleagues + others, gate) == 16)
        #expect(try await admitted(others, gate) == 12)
    }
}
