import Chronology
import HTTPTypes
import Hummingbird
import Identity
import ServiceKit

/// What one wants to be told, how and when.
struct PreferenceRoutes: Sendable {
    let desk: NotificationDesk

    func add(to routes: some RouterMethods<AppContext>) {
        routes.get("/api/notifications/preferences", use: get)
        routes.put("/api/notifications/preferences", use: replace)
    }

    @Sendable private func get(_ request: Request, _ context: AppContext) async throws -> Response {
        try request.requireFields(among: Preferences.fieldNames)
        let stored = try await desk.preferences(of: try context.requirePrincipal())
        return try Reply.object(stored.preferences.json, version: stored.version, request: request)
    }

    @Sendable private func replace(_ request: Request, _ context: AppContext) async throws -> Response {
        let person = try context.requirePrincipal()
        try request.requireFields(among: Preferences.fieldNames)
        let body = try await request.jsonObject()
        let stored = try await desk.replacePreferences(of: person) { stored in
            try request.requireMatch(version: stored.version)
            return try Preferences(body)
        }
        return try Reply.object(stored.preferences.json, version: stored.version, request: request)
    }
}

extension Preferences {
    /// What an answer shows.
    fileprivate static let fieldNames = ["kinds", "reminder_hour", "time_zone"]

    /// Reads a full replacement: what is absent takes the value it has for someone who never said anything.
    init(_ body: JSON) throws {
        self = .standard
        var fields = BodyFields(body)
        if let kinds = fields.value("kinds") { readKinds(kinds, &fields) }
        if case .value(let hour) = fields.nullableInteger("reminder_hour", in: 0...23) { reminderHour = Int(hour) }
        if case .value(let name) = fields.nullableText("time_zone", maximumLength: 100) {
            timeZone = name
            if !TimeZoneName.isKnown(name) {
                fields.fail("time_zone", "unknown-time-zone", "Must be an IANA time zone, such as Europe/Berlin.")
            }
        }
        try fields.finish()
    }

    private mutating func readKinds(_ kinds: JSON, _ fields: inout BodyFields) {
        guard case .object(let members) = kinds else {
            return fields.fail("kinds", "wrong-type", "Must be an object.")
        }
        for (name, value) in members {
            let pointer = "/kinds/\(BodyFields.escaped(name))"
            guard let kind = NoticeKind.allCases.first(where: { $0.rawValue.utf8.elementsEqual(name.utf8) }) else {
                fields.fail(pointer: pointer, "unknown-field", "There is no such kind.")
                continue
            }
            guard case .object(let channels) = value else {
                fields.fail(pointer: pointer, "wrong-type", "Must be an object.")
                continue
            }
            for (channel, value) in channels {
                let pointer = "\(pointer)/\(BodyFields.escaped(channel))"
                guard case .bool(let wanted) = value else {
                    let isKnown = channel == "in_app" || channel == "mail"
                    fields.fail(
                        pointer: pointer,
                        isKnown ? "wrong-type" : "unknown-field",
                        isKnown ? "Must be true or false." : "There is no such field."
                    )
                    continue
                }
                switch channel {
                case "in_app": if !wanted { mutedInApp.insert(kind) }
                case "mail": if !wanted { mutedMail.insert(kind) }
                default: fields.fail(pointer: pointer, "unknown-field", "There is no such field.")
                }
            }
        }
    }

    fileprivate var json: JSON {
        let kinds = NoticeKind.allCases.map { kind -> (key: String, value: JSON) in
            (
                kind.rawValue,
                .object([
                    ("in_app", .bool(!mutedInApp.contains(kind))), ("mail", .bool(!mutedMail.contains(kind))),
                ])
            )
        }
        return .object([
            ("kinds", .object(kinds)),
            ("reminder_hour", reminderHour.map { .integer(Int64($0)) } ?? .null),
            ("time_zone", .optional(timeZone)),
        ])
    }
}
