import Chronology
import Failures
import HTTPTypes
import Hummingbird
import Identity
import ServiceKit

/// The organization that the session is in.
struct OrganizationRoutes: Sendable {
    let directory: Directory

    func add(to group: RouterGroup<AppContext>) {
        group.get("/api/organization", use: read)
        group.patch("/api/organization", use: patch)
        group.delete("/api/organization", use: delete)
    }

    @Sendable func read(_ request: Request, context: AppContext) async throws -> Response {
        try request.requireFields(among: Organization.fieldNames)
        let organization = try await directory.organization(as: try context.requirePrincipal())
        return try Reply.object(organization.json, version: organization.version, request: request)
    }

    @Sendable func patch(_ request: Request, context: AppContext) async throws -> Response {
        try request.requireFields(among: Organization.fieldNames)
        let body = try await request.jsonObject()
        let organization = try await directory.changeOrganization(as: try context.requireRole(.admin)) { stored in
            try request.requireMatch(version: stored.version)
            return try OrganizationRoutes.patch(body, of: stored)
        }
        return try Reply.object(organization.json, version: organization.version, request: request)
    }

    @Sendable func delete(_ request: Request, context: AppContext) async throws -> Response {
        _ = try request.parameters()
        let body = try await request.jsonObject()
        let principal = try context.requireRole(.admin)
        try await directory.deleteOrganization(as: principal) { stored in
            try request.requireMatch(version: stored.version)
            var fields = BodyFields(body)
            fields.require("name")
            let name = fields.text("name", maximumLength: 255)
            try fields.finish()
            return name ?? ""
        }
        return Reply.json(.object([("id", .string(principal.organization.description))]), status: .accepted)
    }

    static func patch(_ body: JSON, of organization: Organization) throws -> OrganizationPatch {
        var fields = BodyFields(body)
        var patch = OrganizationPatch()
        patch.name = fields.text("name", maximumLength: 255, allowsBlank: false)
        patch.timeZone = fields.text("time_zone", maximumLength: 64)
        if let timeZone = patch.timeZone, !TimeZoneName.isKnown(timeZone) {
            fields.fail("time_zone", "unknown-time-zone", "Must be a name of the IANA time zone database.")
        }
        patch.reminderHour = fields.integer("reminder_hour", in: 0...23).map { Int($0) }
        fields.readOnly(["id", "created_at", "updated_at"], as: organization.json)
        try fields.finish()
        return patch
    }
}
