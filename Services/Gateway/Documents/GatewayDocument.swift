import ServiceKit

extension GatewayApp {
    /// The merged OpenAPI 3.1 document as the gateway serves it, JSON; for `taskflow openapi`.
    ///
    /// Throws if one of the services' documents is not YAML or the built-in table has a mistake.
    public static func document(openAPI: [String: [UInt8]], publicURL: String) throws -> [UInt8] {
        let configuration = try GatewayConfiguration.load(GatewayConfiguration.embedded)
        return OpenAPIDocument.merge(
            own: try YAMLDocument.read(PackageResources.openapi_yaml, name: "gateway"),
            services: try openAPI.sorted { $0.key < $1.key }
                .map { ($0.key, try YAMLDocument.read($0.value, name: $0.key)) },
            publicURL: publicURL,
            routes: configuration.routeRules
        ).encoded()
    }
}
