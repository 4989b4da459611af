import Crypto
import Foundation
import ServiceKit

/// The API's document as one page for people. It asks for nothing else: style and script stand in it, and its policy
/// allows just those two, by their hashes.
struct DocsPage {
    private static let methods = ["get", "post", "put", "patch", "delete"]

    private let document: JSON
    private var html = ""

    static func render(_ document: JSON) -> (html: [UInt8], policy: String) {
        let style = PackageResources.docs_css
        let script = PackageResources.docs_js
        var page = DocsPage(document: document)
        page.write(style: String(decoding: style, as: UTF8.self), script: String(decoding: script, as: UTF8.self))
        let policy =
            "default-src 'none'; style-src '\(hash(style))'; script-src '\(hash(script))'; base-uri 'none'; "
            + "form-action 'none'; frame-ancestors 'none'"
        return (Array(page.html.utf8), policy)
    }

    private init(document: JSON) { self.document = document }

    private static func hash(_ bytes: [UInt8]) -> String {
        "sha256-" + Data(SHA256.hash(data: bytes)).base64EncodedString()
    }

    private struct Operation {
        var path: String
        var method: String
        var value: JSON

        var identifier: String {
            "\(method)\(path)".map { $0.isLetter || $0.isNumber ? String($0) : "-" }.joined()
        }
        var tag: String { value["tags"]?.elements?.first?.text ?? "Other" }
    }

    private mutating func write(style: String, script: String) {
        let title = document["info"]?["title"]?.text ?? "API"
        let operations = (document["paths"]?.members ?? []).flatMap { path in
            Self.methods.compactMap { method in
                path.value[method].map { Operation(path: path.key, method: method, value: $0) }
            }
        }
        var tags = (document["tags"]?.elements ?? []).compactMap { $0["name"]?.text }
        for operation in operations where !tags.contains(operation.tag) { tags.append(operation.tag) }
        tags.removeAll { tag in !operations.contains { $0.tag == tag } }
        // What the gateway answers by itself is the least of what people look for.
        if let index = tags.firstIndex(of: "Gateway") { tags.append(tags.remove(at: index)) }

        html += "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        html += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
        html += "<title>\(escaped(title)) API</title><style>\(style)</style></head><body>\n"
        html += "<header><h1>\(escaped(title)) API</h1>\(paragraphs(document["info"]?["description"]?.text))"
        html += "<p><a href=\"/api/openapi.json\">The same for programs</a> (OpenAPI 3.1)"
        html += " &middot; <a href=\"/api/asyncapi.yaml\">Events</a> (AsyncAPI 3.0)</p>"
        html += "<label for=\"search\">Search<input id=\"search\" type=\"search\" autocomplete=\"off\"></label>"
        html += "<p id=\"count\" class=\"note\" aria-live=\"polite\"></p></header>\n"
        html += "<div class=\"columns\"><nav aria-label=\"Contents\"><ul>"
        for tag in tags { html += "<li><a href=\"#tag-\(anchor(tag))\">\(escaped(tag))</a></li>" }
        html += "<li><a href=\"#tag-schemas\">Schemas</a></li></ul></nav><main>\n"
        for tag in tags { section(tag, operations.filter { $0.tag == tag }) }
        schemas()
        html += "</main></div>\n<script>\(script)</script></body></html>\n"
    }

    private mutating func section(_ tag: String, _ operations: [Operation]) {
        let known = document["tags"]?.elements?.first { $0["name"]?.text == tag }
        html += "<section aria-labelledby=\"tag-\(anchor(tag))\"><h2 id=\"tag-\(anchor(tag))\">\(escaped(tag))</h2>"
        html += paragraphs(known?["description"]?.text)
        for operation in operations { write(operation) }
        html += "</section>\n"
    }

    private mutating func write(_ operation: Operation) {
        let value = operation.value
        let isOpen = value["security"]?.elements.map { $0.isEmpty || $0.contains { $0.members.isEmpty } } ?? false
        html += "<details id=\"\(operation.identifier)\"><summary>"
        html += "<span class=\"method \(operation.method)\">\(operation.method.uppercased())</span>"
        html += "<span class=\"path\">\(escaped(operation.path))</span>"
        html += "<span>\(escaped(value["summary"]?.text ?? ""))</span>"
        if isOpen { html += "<span class=\"note\">no token needed</span>" }
        html += "</summary><div>\(paragraphs(value["description"]?.text))"
        parameters(
            (document["paths"]?[operation.path]?["parameters"]?.elements ?? []) + (value["parameters"]?.elements ?? [])
        )
        if let body = value["requestBody"].map(resolved) {
            html += "<h3>Body</h3>\(paragraphs(body["description"]?.text))"
            content(body["content"], unfolds: true)
        }
        html += "<h3>Answers</h3><table><thead><tr><th>Status</th><th>Meaning</th></tr></thead><tbody>"
        for response in value["responses"]?.members ?? [] {
            let answer = resolved(response.value)
            html += "<tr><td>\(escaped(response.key))</td><td>\(paragraphs(answer["description"]?.text))"
            content(answer["content"])
            html += "</td></tr>"
        }
        html += "</tbody></table></div></details>\n"
    }

    private mutating func parameters(_ parameters: [JSON]) {
        guard !parameters.isEmpty else { return }
        html +=
            "<h3>Parameters</h3><table><thead><tr><th>Name</th><th>In</th><th>Form</th><th>Meaning</th></tr></thead><tbody>"
        for parameter in parameters.map(resolved) {
            let isRequired = if case .bool(true) = parameter["required"] { true } else { false }
            html +=
                "<tr><td><code>\(escaped(parameter["name"]?.text ?? ""))</code>\(isRequired ? " (required)" : "")</td>"
            html += "<td>\(escaped(parameter["in"]?.text ?? ""))</td><td>\(form(parameter["schema"]))</td>"
            html += "<td>\(paragraphs(parameter["description"]?.text))</td></tr>"
        }
        html += "</tbody></table>"
    }

    /// Each content type with its form; `unfolds` shows the members of one that has a name, too.
    private mutating func content(_ content: JSON?, unfolds: Bool = false) {
        var shown: Set<String> = []
        for kind in content?.members ?? [] {
            html += "<p><code>\(escaped(kind.key))</code> \(form(kind.value["schema"]))</p>"
            // Two content types of one form show its members once.
            if let schema = kind.value["schema"], schema["$ref"] == nil || unfolds,
                shown.insert(schema["$ref"]?.text ?? kind.key).inserted
            {
                properties(resolved(schema), depth: 0)
            }
            let examples =
                (kind.value["example"].map { [$0] } ?? [])
                + (kind.value["examples"]?.members.compactMap { $0.value["value"] } ?? [])
            for example in examples {
                html += "<pre>\(escaped(String(decoding: example.encoded(), as: UTF8.self)))</pre>"
            }
        }
    }

    private mutating func schemas() {
        let schemas = document["components"]?["schemas"]?.members ?? []
        guard !schemas.isEmpty else { return }
        html += "<section aria-labelledby=\"tag-schemas\"><h2 id=\"tag-schemas\">Schemas</h2>"
        for schema in schemas {
            html +=
                "<details id=\"schema-\(anchor(schema.key))\"><summary><span class=\"path\">\(escaped(schema.key))</span>"
            html += "<span class=\"note\">\(form(schema.value, links: false))</span></summary><div>"
            html += paragraphs(schema.value["description"]?.text)
            properties(schema.value, depth: 0)
            html += "</div></details>\n"
        }
        html += "</section>\n"
    }

    private mutating func properties(_ schema: JSON, depth: Int) {
        let parts = [schema] + (schema["allOf"]?.elements ?? []).map(resolved)
        let properties = parts.flatMap { $0["properties"]?.members ?? [] }
        guard !properties.isEmpty, depth < 4 else { return }
        let required = parts.flatMap { $0["required"]?.elements ?? [] }.compactMap(\.text)
        html += "<table><thead><tr><th>Member</th><th>Form</th><th>Meaning</th></tr></thead><tbody>"
        for property in properties {
            html +=
                "<tr><td><code>\(escaped(property.key))</code>\(required.contains(property.key) ? " (required)" : "")</td>"
            html += "<td>\(form(property.value))</td><td>\(paragraphs(property.value["description"]?.text))"
            self.properties(property.value["items"] ?? property.value, depth: depth + 1)
            html += "</td></tr>"
        }
        html += "</tbody></table>"
    }

    /// A schema in a few words: `array of Task`, `string, date-time`, `A, B or C`.
    private func form(_ schema: JSON?, links: Bool = true) -> String {
        guard let schema else { return "" }
        if let target = schema["$ref"]?.text {
            let name = target.split(separator: "/").last.map(String.init) ?? target
            return links ? "<a href=\"#schema-\(anchor(name))\">\(escaped(name))</a>" : escaped(name)
        }
        for (key, word) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
            if let parts = schema[key]?.elements {
                return parts.map { form($0, links: links) }.filter { !$0.isEmpty }.joined(separator: word)
            }
        }
        var words: [String] = []
        let types = schema["type"]?.text.map { [$0] } ?? schema["type"]?.elements?.compactMap(\.text) ?? []
        for type in types {
            words.append(type == "array" ? "array of \(form(schema["items"], links: links))" : escaped(type))
        }
        var text = words.joined(separator: " or ")
        if let format = schema["format"]?.text { text += ", \(escaped(format))" }
        if let values = schema["enum"]?.elements {
            text += ": " + values.map { "<code>\(escaped(Self.plain($0)))</code>" }.joined(separator: ", ")
        }
        return text
    }

    /// Follows one reference.
    private func resolved(_ json: JSON) -> JSON {
        guard let target = json["$ref"]?.text, target.hasPrefix("#/") else { return json }
        return target.dropFirst(2).split(separator: "/").reduce(document) { $0[String($1)] ?? .null }
    }

    private static func plain(_ json: JSON) -> String { json.text ?? String(decoding: json.encoded(), as: UTF8.self) }

    private func anchor(_ text: String) -> String {
        text.map { $0.isLetter || $0.isNumber ? String($0) : "-" }.joined()
    }

    /// Paragraphs at empty lines, `code` at back quotes; no other mark-up.
    private func paragraphs(_ text: String?) -> String {
        guard let text, !text.isEmpty else { return "" }
        return text.split(separator: "\n\n").map { paragraph in
            let parts = paragraph.split(separator: "`", omittingEmptySubsequences: false)
            let written = parts.enumerated().map { index, part in
                index % 2 == 1 && index < parts.count - 1
                    ? "<code>\(escaped(String(part)))</code>" : escaped(String(part))
            }
            return "<p>\(written.joined())</p>"
        }.joined()
    }

    private func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
            .replacing("\"", with: "&quot;").replacing("'", with: "&#39;")
    }
}
