import Identity
import Logging

/// A configuration made ready to serve: what a request sees from its first byte to its last, whatever is reloaded
/// meanwhile.
final class GatewayTable: Sendable {
    struct Route: Sendable {
        let rule: RouteRule
        let rates: [RateRule]
        let upstream: Upstream
        let meter: RouteMeter
    }

    let configuration: GatewayConfiguration
    let routes: [Route]
    let upstreams: [Upstream]
    let verifier: AccessTokenVerifier
    private let matcher: RouteTable

    /// What an earlier table learned of servers, and its meters, go over to this one.
    init(
        _ configuration: GatewayConfiguration,
        after earlier: GatewayTable?,
        meters: Meters,
        verifier: AccessTokenVerifier,
        logger: Logger
    ) {
        self.configuration = configuration
        self.verifier = verifier
        let upstreams = configuration.upstreams.map { rule in
            let known = earlier?.upstreams.first { $0.rule.name == rule.name }
            // An unchanged upstream goes on as it is, with its count of what is in flight.
            if let known, known.rule == rule { return known }
            return Upstream(rule, after: known, logger: logger)
        }
        self.upstreams = upstreams
        routes = configuration.routeRules.compactMap { rule in
            guard let upstream = upstreams.first(where: { $0.rule.name == rule.upstream }) else { return nil }
            let rates = rule.limits.compactMap { name in configuration.rates.first { $0.name == name } }
            return Route(rule: rule, rates: rates, upstream: upstream, meter: meters.route(rule.pattern.description))
        }
        matcher = RouteTable(configuration.routeRules)
    }

    /// The routes of a path, by method.
    func match(_ target: RequestTarget) -> RouteTable.Match? { matcher.match(target.segments) }
}
