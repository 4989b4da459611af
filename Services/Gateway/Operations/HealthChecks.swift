import Logging
import ServiceKit
import ServiceLifecycle

/// Asks every server whether it is ready, at the rhythm its upstream says.
struct HealthChecks: Service, CustomStringConvertible {
    /// After so long the gateway serves even if not every upstream was seen well: one broken service must not keep the
    /// others from being reached.
    private static let patience = Duration.seconds(30)

    let front: Front

    var description: String { "gateway health checks" }

    func run() async throws {
        let began = ContinuousClock.now
        try? await cancelWhenGracefulShutdown {
            var due: [String: ContinuousClock.Instant] = [:]
            while !Task.isCancelled {
                let upstreams = front.table.upstreams
                let now = ContinuousClock.now
                let asked = upstreams.filter { upstream in due[upstream.rule.name].map { $0 <= now } ?? true }
                await check(asked)
                for upstream in asked {
                    // Who waits for the gateway to start waits for this, so whoever was not seen yet is asked at once again.
                    let isEager = front.stage == .starting && !isSeen(upstream)
                    due[upstream.rule.name] = now + (isEager ? .zero : upstream.rule.healthEvery)
                }
                front.meters.report(upstreams)
                let areSeen = upstreams.allSatisfy(isSeen)
                if front.stage == .starting, areSeen || .now - began > Self.patience { front.enter(.serving) }
                // Nothing tells that a server has come up or that another rhythm is due.
                try await Task.sleep(for: front.stage == .starting ? .milliseconds(25) : .milliseconds(100))
            }
        }
    }

    /// Whether one of its servers was ready when it was last asked.
    private func isSeen(_ upstream: Upstream) -> Bool { upstream.snapshot.contains { $0.isReady == true } }

    private func check(_ upstreams: [Upstream]) async {
        await withTaskGroup(of: Void.self) { group in
            for upstream in upstreams {
                for (index, address) in upstream.rule.servers.enumerated() {
                    group.addTask {
                        let isReady = await isReady(address, upstream.rule)
                        upstream.noteHealth(index, isReady: isReady)
                    }
                }
            }
        }
    }

    private func isReady(_ address: ListenAddress, _ rule: UpstreamRule) async -> Bool {
        let answer = try? await InternalHTTP.exchange(
            "GET",
            "http://\(address)\(rule.healthPath)",
            headers: [("x-internal-credential", front.credential)],
            body: nil,
            timeout: rule.connectTimeout,
            limit: 65_536
        )
        return answer?.status == 200
    }
}
