import Crypto
import Foundation
import ServiceKit

/// What the gateway serves by itself, made once at the start.
struct Documents: Sendable {
    struct Page: Sendable {
        var status = 200
        var fields: [HeaderFields.Field]
        var body: [UInt8]
        /// In lower case, as it is compared.
        var tag: String?
    }

    private let openAPI: Page
    private let asyncAPI: (json: Page, yaml: Page)
    private let docs: Page

    /// - Parameters:
    ///   - document: what is asked and answered, of all services.
    ///   - events: what the services tell each other, as YAML.
    init(openAPI document: JSON, asyncAPI events: [UInt8]) throws {
        asyncAPI = (
            json: Self.page(
                try YAMLDocument.read(events, name: "asyncapi").encoded(),
                "application/json; charset=utf-8"
            ),
            yaml: Self.page(events, "application/yaml; charset=utf-8")
        )
        openAPI = Self.page(document.encoded(), "application/json; charset=utf-8")
        let (html, policy) = DocsPage.render(document)
        docs = Self.page(html, "text/html; charset=utf-8", policy: policy)
    }

    private static func page(_ body: [UInt8], _ type: String, policy: String? = nil) -> Page {
        let digest = SHA256.hash(data: body).prefix(12).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }
        let tag = "\"\(digest.joined())\""
        var fields = [
            HeaderFields.Field(name: "content-type", value: type), HeaderFields.Field(name: "etag", value: tag),
            HeaderFields.Field(name: "cache-control", value: "no-cache"),
        ]
        if let policy { fields.append(HeaderFields.Field(name: "content-security-policy", value: policy)) }
        return Page(fields: fields, body: body, tag: tag)
    }

    /// Nil for a path that is not the gateway's own. A slash at the end is optional here too.
    func page(_ path: String, isServing: Bool) -> Page? {
        switch path.hasSuffix("/") ? String(path.dropLast()) : path {
        case "/health/live": Self.status(true)
        case "/health/ready": Self.status(isServing)
        case "/api/openapi.json": openAPI
        case "/api/asyncapi.json": asyncAPI.json
        case "/api/asyncapi.yaml": asyncAPI.yaml
        case "/api/docs": docs
        default: nil
        }
    }

    private static func status(_ isGood: Bool) -> Page {
        Page(
            status: isGood ? 200 : 503,
            fields: [
                HeaderFields.Field(name: "content-type", value: "application/json; charset=utf-8"),
                HeaderFields.Field(name: "cache-control", value: "no-store"),
            ] + (isGood ? [] : [HeaderFields.Field(name: "retry-after", value: "1")]),
            body: Array((isGood ? "{\"status\":\"ok\"}" : "{\"status\":\"unavailable\"}").utf8)
        )
    }
}
