import ServiceKit
import Testing

@testable import GatewayService

@Suite struct OpenAPITests {
    private func read(_ text: String) throws -> JSON { try YAMLDocument.read(Array(text.utf8), name: "test") }

    @Test func yamlIsReadAsTheJSONItStandsFor() throws {
        let json = try read(
            "a: no\nb: true\nc: 2026-12-01\nd: 1.50\ne: '7'\nf: 7\ng: null\nh: [x, {y: 1}]\ni: |\n  l1\n  l2\n"
        )
        let wanted =
            #"{"a":"no","b":true,"c":"2026-12-01","d":1.50,"e":"7","f":7,"g":null,"h":["x",{"y":1}],"i":"l1\nl2\n"}"#
        #expect(String(decoding: json.encoded(), as: UTF8.self) == wanted)
    }

    @Test func documentsAreMerged() throws {
        let own = try read("info: {title: T}\ncomponents:\n  schemas:\n    Problem: {type: object}\n")
        let task = try read(
            """
            tags: [{name: Tasks}]
            paths:
              /api/account/:
                get: {tags: [Tasks], responses: {"200": {description: Dashboard, content: {application/json: {schema: {$ref: "#/components/schemas/Person"}}}}}}
            components:
              schemas:
                Person: {type: object}
                Problem: {type: string}
            """
        )
        let organization = try read(
            """
            paths:
              /api/account:
                patch: {responses: {"200": {description: Changed, content: {application/json: {schema: {$ref: "#/components/schemas/Person"}}}}}}
              /media/{path}:
                get: {responses: {"200": {description: Picture}}}
            components:
              schemas:
                Person: {type: string}
            """
        )
        let routes = try GatewayConfiguration.load(GatewayConfiguration.embedded).routeRules
        let merged = OpenAPIDocument.merge(
            own: own,
            services: [("task", task), ("organization", organization)],
            publicURL: "https://t.example",
            routes: routes
        )
        let paths = merged["paths"]?.members.map(\.key)
        #expect(paths == ["/api/account/", "/media/{path}"])
        let account = try #require(merged["paths"]?["/api/account/"])
        #expect(account.members.map(\.key) == ["get", "patch"])
        #expect(account["get"]?["responses"]?.members.map(\.key) == ["200", "401", "414", "429", "503"])
        #expect(account["get"]?["security"] == nil)
        #expect(merged["paths"]?["/media/{path}"]?["get"]?["security"]?.elements?.count == 0)
        let schemas = merged["components"]?["schemas"]?.members.map(\.key)
        #expect(schemas == ["Problem", "Person", "OrganizationPerson"])
        let text = String(decoding: account["patch"]?.encoded() ?? [], as: UTF8.self)
        #expect(text.contains("#/components/schemas/OrganizationPerson"))
        #expect(merged["components"]?["schemas"]?["Problem"]?["type"]?.text == "object")
        #expect(merged["servers"]?.elements?.first?["url"]?.text == "https://t.example")
    }

    @Test func thePageShowsEverythingAndEscapesIt() throws {
        let document = OpenAPIDocument.merge(
            own: try YAMLDocument.read(GatewayApp.openAPI, name: "gateway"),
            services: [
                ("x", try read("paths:\n  /x:\n    get: {summary: \"<script>alert(1)</script>\", responses: {}}\n"))
            ],
            publicURL: "http://x",
            routes: []
        )
        let (html, policy) = DocsPage.render(document)
        let text = String(decoding: html, as: UTF8.self)
        #expect(text.contains("&lt;script&gt;alert(1)"))
        #expect(!text.contains("<script>alert"))
        #expect(text.contains("/api/openapi.json"))
        #expect(text.contains("id=\"schema-Problem\""))
        #expect(policy.contains("style-src 'sha256-"))
        #expect(!text.contains("src="))
    }
}
