import Chronology
import Events
import Failures
import Identity
import ServiceKit
import Testing

@testable import OrganizationService

/// A user as the tests need one.
func person(_ role: Role, active: Bool = true, firstName: String = "Ada") -> User {
    User(
        id: UserID.make(milliseconds: 1_780_000_000_000),
        email: "ada@example.com",
        firstName: firstName,
        lastName: "Lovelace",
        role: role,
        department: DepartmentLabel(id: DepartmentID(7), name: "Research"),
        isActive: active,
        picture: nil,
        version: 3,
        createdAt: Timestamp(seconds: 1),
        updatedAt: Timestamp(seconds: 2)
    )
}

@Suite struct UserRuleTests {
    private let now = Timestamp(seconds: 9)

    @Test(arguments: Role.allCases, [true, false])
    func theLastActiveAdminStays(_ role: Role, _ isActive: Bool) throws {
        for activeAdmins in 1...2 {
            let patch = UserPatch(role: role, isActive: isActive)
            let isAdminStill = role == .admin && isActive
            if activeAdmins == 1, !isAdminStill {
                #expect { try person(.admin).applying(patch, activeAdmins: activeAdmins, now: now) } throws: { error in
                    (error as? Failure)?.code == "last-admin"
                }
            } else {
                let changed = try person(.admin).applying(patch, activeAdmins: activeAdmins, now: now)
                #expect((changed == nil) == isAdminStill)
            }
        }
        // Others, and an admin who is none any longer in fact, are not counted.
        #expect(throws: Never.self) {
            _ = try person(.manager).applying(UserPatch(role: role, isActive: isActive), activeAdmins: 1, now: now)
            _ = try person(.admin, active: false).applying(UserPatch(role: role), activeAdmins: 1, now: now)
        }
    }

    @Test func whatChangesNothingIsNoChange() throws {
        let same = UserPatch(
            firstName: "Ada",
            lastName: "Lovelace",
            role: .manager,
            department: .some(DepartmentLabel(id: DepartmentID(7), name: "Research")),
            isActive: true
        )
        #expect(try person(.manager).applying(same, activeAdmins: 1, now: now) == nil)
        #expect(try person(.manager).applying(UserPatch(), activeAdmins: 1, now: now) == nil)
        let changed = try person(.manager).applying(UserPatch(department: .some(nil)), activeAdmins: 1, now: now)
        #expect(changed?.department == nil && changed?.version == 4 && changed?.updatedAt == now)
    }

    /// Canonically equivalent is not the same.
    @Test func namesAreComparedCodePointForCodePoint() throws {
        let changed = try person(.manager, firstName: "Zo\u{EB}").applying(
            UserPatch(firstName: "Zoe\u{308}"),
            activeAdmins: 1,
            now: now
        )
        #expect(changed?.firstName.unicodeScalars.count == 4)
    }

    @Test func standing() {
        #expect(throws: Never.self) { try Standing?(Standing(role: .admin, isActive: true)).requireAdmin() }
        #expect(throws: Failure.forbidden) { try Standing?(Standing(role: .manager, isActive: true)).requireAdmin() }
        for gone in [nil, Standing(role: .admin, isActive: false)] {
            #expect { try gone.requireAdmin() } throws: { ($0 as? Failure)?.kind == .unauthenticated }
        }
    }
}

@Suite struct EmailAddressTests {
    @Test(arguments: [
        "a@b", "a.b+c@example.com", "!$&'*+-=^_`{|}~.@x.y", "A@EXAMPLE.COM", "a@1-2.3",
        "\(String(repeating: "a", count: 242))@example.com",
    ])
    func good(_ text: String) { #expect(EmailAddress(text)?.text == text) }

    @Test(arguments: [
        "", "a", "@b", "a@", "a@b@c.d", "a b@c.d", "a@-b", "a@b-", "a@b..c", "a@.b", "a@b.", "a/b@c.d", "a?b@c.d",
        "a#b@c.d", "a%b@c.d", "é@b.c", "a@é.c", "\"a b\"@c.d", "a@[127.0.0.1]", "a@b\n", "a@b_c",
        "a@\(String(repeating: "b", count: 64)).c", "\(String(repeating: "a", count: 243))@example.com",
    ])
    func bad(_ text: String) { #expect(EmailAddress(text) == nil) }

    @Test func keysFoldAsciiOnly() {
        #expect(EmailAddress.key("Ada@Example.COM") == "ada@example.com")
        #expect(EmailAddress.key("\u{212A}@x") != EmailAddress.key("k@x"))
    }
}

@Suite struct OrganizationRuleTests {
    @Test(arguments: [
        "UTC", "Europe/Berlin", "Asia/Kolkata", "America/Argentina/Ushuaia", "US/Pacific", "Etc/GMT+3", "GMT0",
    ])
    func knownZones(_ name: String) { #expect(TimeZoneName.isKnown(name)) }

    @Test(arguments: [
        "", "US/Pacific-New", "GMT+0300", "Factory", "europe/berlin", "Europe/berlin", "Mars/Olympus", "GMT+3", "UTC+2",
        "PST", "../../etc/passwd",
        "posix/Europe/Berlin", "right/UTC", "localtime", "Europe/", "Europe", "Europe/Berlin\u{0}", " UTC",
        "Euro\u{70}e/Berl\u{131}n",
    ])
    func unknownZones(_ name: String) { #expect(!TimeZoneName.isKnown(name)) }

    private let organization = Organization(
        id: OrganizationID.make(milliseconds: 1),
        name: "Caf\u{E9}",
        timeZone: "UTC",
        reminderHour: 9,
        version: 1,
        createdAt: Timestamp(seconds: 1),
        updatedAt: Timestamp(seconds: 1)
    )

    @Test func deletionRepeatsTheNameExactly() {
        #expect(throws: Never.self) { try organization.confirmDeletion(by: "Caf\u{E9}") }
        for wrong in ["Cafe\u{301}", "caf\u{E9}", "Caf\u{E9} ", ""] {
            #expect { try organization.confirmDeletion(by: wrong) } throws: { error in
                (error as? Failure)?.fields.first?.pointer == "/name"
            }
        }
    }

    @Test func patches() throws {
        #expect(
            organization.applying(OrganizationPatch(name: "Caf\u{E9}", reminderHour: 9), now: Timestamp(seconds: 2))
                == nil
        )
        let changed = organization.applying(OrganizationPatch(timeZone: "Asia/Tokyo"), now: Timestamp(seconds: 2))
        #expect(changed?.version == 2 && changed?.announcement.revision == 2)
        #expect(changed?.announcement.timeZone == "Asia/Tokyo")
    }
}

@Suite struct UserBodyTests {
    private func codes(_ body: () throws -> Void) -> Set<String> {
        do {
            try body()
            return []
        } catch let failure as Failure {
            return Set(failure.fields.map { "\($0.pointer ?? "") \($0.code)" })
        } catch { return ["\(error)"] }
    }

    private func json(_ text: String) throws -> JSON { try JSON(parsing: Array(text.utf8)) }

    @Test func whatAnAnswerShowedMayBeSentBack() throws {
        let user = person(.manager)
        guard case .object(let members) = user.json else { return }
        let body = JSON.object(members.filter { $0.key != "department" })
        let patch = try UserRoutes.patch(body, of: user, nil, isComplete: true)
        #expect(patch.department == .some(nil))
        #expect(
            codes {
                _ = try UserRoutes.patch(try json(#"{"email": "x@y", "version": 4}"#), of: user, nil, isComplete: false)
            }
                == ["/email read-only", "/version read-only"]
        )
    }

    @Test func departments() throws {
        let user = person(.manager)
        let named = DepartmentLabel(id: DepartmentID(1), name: "One")
        #expect(
            try UserRoutes.patch(try json(#"{"department": 1}"#), of: user, named, isComplete: false).department
                == named
        )
        #expect(
            try UserRoutes.patch(try json(#"{"department": null}"#), of: user, nil, isComplete: false).department
                == .some(nil)
        )
        #expect(try UserRoutes.patch(try json("{}"), of: user, nil, isComplete: false).department == nil)
        for (text, code) in [("5", "not-found"), (#""x""#, "not-found"), ("true", "wrong-type"), ("1.5", "wrong-type")]
        {
            #expect(
                codes {
                    _ = try UserRoutes.patch(try json("{\"department\": \(text)}"), of: user, nil, isComplete: false)
                } == ["/department \(code)"]
            )
        }
        #expect(DepartmentReference(.integer(-1)) == nil && DepartmentReference(.string("7")) == .name("7"))
    }

    @Test func creation() throws {
        #expect(
            codes { _ = try UserRoutes.draft(try json("{}"), nil) }
                == ["/email required", "/first_name required", "/last_name required", "/role required"]
        )
        let body = #"{"email": "a/b@c.d", "first_name": " ", "last_name": "x", "role": "admin", "is_active": true}"#
        #expect(
            codes { _ = try UserRoutes.draft(try json(body), nil) }
                == ["/email bad-email", "/first_name blank", "/role not-a-choice", "/is_active unknown-field"]
        )
    }
}

@Suite struct CloudinarySignatureTests {
    private let signature = CloudinarySignature(secret: "abcd")

    @Test func publishedVectors() {
        #expect(
            signature.sign([("timestamp", "1315060510"), ("public_id", "sample_image")])
                == "b4ad47fb4e25c7bf5f92a20089f9db59bc302313"
        )
        let eager = [
            ("timestamp", "1315060510"), ("public_id", "sample_image"), ("file", "ignored"), ("api_key", "1234"),
            ("resource_type", "image"), ("cloud_name", "x"), ("folder", ""),
            ("eager", "w_400,h_300,c_pad|w_260,h_200,c_crop"),
        ]
        .map { (name: $0.0, value: $0.1) }
        #expect(signature.sign(eager) == "bfd09f95f331f558cbd1320e67aa8d488770583e")
        let other = CloudinarySignature(secret: "abcd", algorithm: .sha256)
        #expect(other.sign(eager) == "cc927e1290f9e3ae4c1a741eda21a4630b4ce80f9ce0bc0296337d25cf40f91e")
    }

    /// No value can pass for another parameter.
    @Test func ampersandsAreEscaped() {
        #expect(
            signature.sign([("public_id", "a&timestamp=1"), ("timestamp", "2")])
                != signature.sign([("public_id", "a"), ("timestamp", "1"), ("timestamp", "2")])
        )
    }

    @Test func answers() {
        // The answer's own scheme escapes nothing, so for these values it is the same string.
        let good = signature.sign([("public_id", "o/u/r"), ("version", "17")])
        #expect(signature.isValid(answer: good, publicID: "o/u/r", version: "17"))
        #expect(!signature.isValid(answer: good, publicID: "o/u/r", version: "18"))
        #expect(!signature.isValid(answer: "", publicID: "o/u/r", version: "17"))
    }
}

@Suite struct MediaNameTests {
    @Test func onlyNamesOfOurOwn() {
        let organization = OrganizationID.make(milliseconds: 1).description
        let random = RandomName.make()
        #expect(random.utf8.count == 32 && random != RandomName.make())
        #expect(MediaName("\(organization)/\(random).png")?.format == .png)
        for bad in [
            "", "/", "\(organization)", "\(organization)/", "\(organization)/../../etc/passwd", "../\(random).png",
            "\(organization)/\(random)", "\(organization)/\(random).svg", "\(organization)/\(random).png.png",
            "\(organization.uppercased())/\(random).png", "\(organization)/\(random.dropLast()).png",
            "\(organization)/\(random.dropLast())G.png", "x/\(organization)/\(random).png",
        ] { #expect(MediaName(bad) == nil, "\(bad)") }
    }
}
