import Configuration
import ServiceKit

/// What the gateway reads from its settings, beside those that the whole installation shares.
///
/// - `TASKFLOW_GATEWAY_CONFIG`: path of `gateway.conf`; the copy in the program by default.
/// - `TASKFLOW_GATEWAY_LISTEN`: `host:port`; what the configuration says by default. Port 0 picks a free one.
/// - `TASKFLOW_GATEWAY_ADMIN`: `host:port` of the admin port, or `off`; what the configuration says by default.
/// - `TASKFLOW_UPSTREAM_<NAME>`: servers of an upstream, `host:port host:port`; those of the configuration by default.
/// - `TASKFLOW_GATE_REDIS_URL`: a Redis of its own for revocations and positions, secret; `TASKFLOW_REDIS_URL` by default.
/// - `TASKFLOW_GATEWAY_FAIL_OPEN`: `on` lets tokens through while revocation cannot be checked; `off`.
/// - `TASKFLOW_RATE_LIMITS`: `off` turns all limits off; `on`.
/// - `TASKFLOW_CORS_ORIGINS`: origins whose pages may use the API, `https://a.example, https://b.example`; none.
/// - `TASKFLOW_GATEWAY_DRAIN`: seconds, 0...60, 2; how long it goes on accepting after it was told to stop.
struct GatewaySettings: Sendable {
    let installation: InstallationSettings
    let configurationPath: String?
    let listen: ListenAddress?
    /// Nil: as configured.
    let admin: AdminAddress?
    let upstreams: [String: [ListenAddress]]
    let gateRedisURL: String?
    let failsOpen: Bool
    let limitsRates: Bool
    let crossOrigin: CrossOrigin
    let drain: Duration

    enum AdminAddress: Sendable, Hashable {
        case off
        case on(ListenAddress)
    }

    init(_ config: ConfigReader, upstreamOverrides: [String: [String]]) throws {
        installation = try InstallationSettings(config)
        configurationPath = config.text("TASKFLOW_GATEWAY_CONFIG")
        listen = try config.text("TASKFLOW_GATEWAY_LISTEN").map { try Self.address($0, "TASKFLOW_GATEWAY_LISTEN") }
        admin = try config.text("TASKFLOW_GATEWAY_ADMIN").map { text in
            text == "off" ? .off : .on(try Self.address(text, "TASKFLOW_GATEWAY_ADMIN"))
        }
        var upstreams: [String: [ListenAddress]] = [:]
        for (service, _) in InstallationSettings.ports {
            let name = "TASKFLOW_UPSTREAM_\(service.uppercased())"
            let texts = upstreamOverrides[service] ?? config.text(name)?.split(separator: " ").map(String.init)
            if let texts { upstreams[service] = try texts.map { try Self.address($0, name) } }
        }
        self.upstreams = upstreams.filter { !$0.value.isEmpty }
        gateRedisURL = try config.redisURL("TASKFLOW_GATE_REDIS_URL")
        failsOpen = try config.flag("TASKFLOW_GATEWAY_FAIL_OPEN", default: false)
        limitsRates = try config.flag("TASKFLOW_RATE_LIMITS", default: true)
        switch CrossOrigin.parse(config.text("TASKFLOW_CORS_ORIGINS", default: "")) {
        case .success(let list): crossOrigin = list
        case .failure(let bad):
            throw SettingError(
                "TASKFLOW_CORS_ORIGINS has \"\(bad.text)\"; give exact origins such as https://app.example, no path, no *."
            )
        }
        drain = try config.seconds("TASKFLOW_GATEWAY_DRAIN", default: 2, in: 0...60)
    }

    private static func address(_ text: String, _ name: String) throws -> ListenAddress {
        guard let address = ListenAddress(text) else {
            throw SettingError("\(name) is \"\(text)\"; give host:port, such as 127.0.0.1:8080.")
        }
        return address
    }

    /// A configuration with the settings' own values in it.
    func applied(to configuration: GatewayConfiguration) -> GatewayConfiguration {
        var configuration = configuration
        if let listen { configuration.listen = listen }
        switch admin {
        case .off: configuration.admin = nil
        case .on(let address): configuration.admin = address
        case nil: break
        }
        for index in configuration.upstreams.indices {
            if let servers = upstreams[configuration.upstreams[index].name] {
                configuration.upstreams[index].servers = servers
            }
        }
        return configuration
    }
}
