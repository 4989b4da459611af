import Foundation
import NIOCore
import ServiceKit
import TestSupport
import Testing

@testable import GatewayService

/// Slow clients, failing services, reloads and the end, over real sockets.
@Suite struct FaultTests {
    private func echo() async throws -> FakeService {
        try await FakeService.start { request in
            if request.head.target.hasSuffix("/close") { return .close }
            if request.head.target.hasSuffix("/slow") {
                return .after(.milliseconds(700), "HTTP/1.1 204 No Content\r\n\r\n")
            }
            if request.head.target.hasSuffix("/slower") {
                return .after(.seconds(4), "HTTP/1.1 204 No Content\r\n\r\n")
            }
            if request.head.target.hasSuffix("/part") {
                return .bytes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
            }
            return .ok()
        }
    }

    @Test func slowClientsAreSentAway() async throws {
        let service = try await echo()
        let limits = "header_timeout 1s   body_timeout 1s   idle_timeout 5s"
        try await RunningGateway.run(RunningGateway.text(limits: limits, service: service)) { gateway in
            async let head = gateway.send("GET /open/a HTTP/1.1\r\nHo")
            async let body = gateway.send("POST /open/a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            async let idle = gateway.send("")
            let answers = try await [head, body, idle]
            #expect(answers.map(\.status) == [408, 408, 0])
        }
    }

    @Test func slowServicesTimeOutAndFullOnesRefuse() async throws {
        let service = try await echo()
        let text = RunningGateway.text(upstream: "timeout 2s   max_in_flight 1   queue 1", service: service)
        try await RunningGateway.run(text) { gateway in
            async let first = gateway.get("/open/slower")
            async let second = gateway.get("/open/slower")
            async let third = gateway.get("/open/slower")
            let statuses = try await [first.status, second.status, third.status].sorted()
            #expect(statuses == [503, 504, 504])
            let late = try await gateway.get("/open/slower")
            #expect(late.content.contains("upstream-timeout"))
            #expect(!late.contains("127.0.0.1"))
        }
    }

    /// A route with a time of its own, as that of uploads, has it for the answer too.
    @Test func aRouteWithItsOwnTimeWaitsThatLongForTheAnswer() async throws {
        let service = try await FakeService.start { request in
            .after(.seconds(2), "HTTP/1.1 204 No Content\r\n\r\n")
        }
        try await RunningGateway.run(RunningGateway.text(upstream: "timeout 1s", service: service)) { gateway in
            async let other = gateway.get("/open/a")
            let upload = "PUT /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
            let statuses = try await [gateway.send(upload).status, other.status]
            #expect(statuses == [204, 504])
        }
    }

    /// TEN-12: who sends a body slowly keeps no place at the service meanwhile.
    @Test func slowBodiesTakeNoPlaceFromOthers() async throws {
        let service = try await echo()
        let text = RunningGateway.text(
            limits: "body_timeout 5s",
            upstream: "max_in_flight 1   queue 1",
            service: service
        )
        try await RunningGateway.run(text) { gateway in
            let slow = "POST /open/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{"
            try await RawConnection.with(gateway.port) { first in
                try await first.write(slow)
                try await RawConnection.with(gateway.port) { second in
                    try await second.write(slow)
                    try await RawConnection.with(gateway.port) { third in
                        try await third.write(slow)
                        // The answer to another request shows that the gateway has read this far.
                        for _ in 0..<5 {
                            let answer = try await gateway.get("/open/a")
                            #expect(answer.status == 200)
                        }
                        try await third.write("}")
                        let thirdAnswer = try await third.readToEnd()
                        #expect(thirdAnswer.status == 200)
                    }
                    try await second.write("}")
                    let secondAnswer = try await second.readToEnd()
                    #expect(secondAnswer.status == 200)
                }
                try await first.write("}")
                let firstAnswer = try await first.readToEnd()
                #expect(firstAnswer.status == 200)
            }
            #expect(
                service.requests.filter { $0.head.method == "POST" }.map(\.body) == [
                    Array("{}".utf8), Array("{}".utf8), Array("{}".utf8),
                ]
            )
        }
    }

    @Test func aFailingServiceIsLeftAlone() async throws {
        let service = try await echo()
        let text = RunningGateway.text(upstream: "eject after 3 errors for 1s..2s", service: service)
        try await RunningGateway.run(text) { gateway in
            for _ in 0..<3 { #expect(try await gateway.post("/open/close").status == 502) }
            let open = try await gateway.post("/open/close")
            #expect(open.status == 503)
            #expect(open.field("retry-after") == "1")
            try await Task.sleep(for: .milliseconds(1100))
            #expect(try await gateway.get("/open/a").status == 200)
        }
    }

    @Test func onlyHarmlessRequestsAreRepeated() async throws {
        let service = try await echo()
        let text = RunningGateway.text(upstream: "eject after 50 errors for 1s..2s", service: service)
        try await RunningGateway.run(text) { gateway in
            func tries(_ request: () async throws -> String) async throws -> Int {
                let before = service.requests.count
                let status = try await request().status
                #expect(status == 502)
                return service.requests.count - before
            }
            let counts = [
                try await tries { try await gateway.get("/open/close") },
                try await tries { try await gateway.post("/open/close") },
                try await tries { try await gateway.post("/open/close", "Idempotency-Key: k\r\n") },
                try await tries { try await gateway.get("/open/close", method: "DELETE") },
            ]
            #expect(counts == [2, 1, 2, 1])
        }
    }

    /// GW-8: never after the first byte of an answer.
    @Test(arguments: ["H", "HTTP/1.1 200 O", "HTTP/1.1 103 Early Hints\r\n\r\n", "rubbish\r\n\r\n"])
    func whatWasAnsweredInPartIsNotRepeated(answer: String) async throws {
        let service = try await FakeService.start { _ in .broken(answer) }
        try await RunningGateway.run(RunningGateway.text(service: service)) { gateway in
            let answer = try await gateway.get("/open/a")
            #expect(answer.status == 502)
            #expect(service.requests.count == 1)
        }
    }

    @Test func anAnswerWithoutLengthThatIsResetIsNotTakenForWhole() async throws {
        let service = try await FakeService.start { _ in .broken("HTTP/1.1 200 OK\r\n\r\npart") }
        try await RunningGateway.run(RunningGateway.text(service: service)) { gateway in
            let answer = try await gateway.get("/open/a")
            #expect(!answer.hasSuffix("0\r\n\r\n"))
        }
    }

    /// GW-6, GW-9: a body that never ends holds up neither the keys nor the health of others.
    @Test(.timeLimit(.minutes(1))) func anAnswerThatNeverEndsIsGivenUp() async throws {
        let service = try await FakeService.start { _ in .bytes("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx") }
        await #expect(throws: (any Error).self) {
            _ = try await InternalHTTP.exchange(
                "GET",
                "http://127.0.0.1:\(service.port)/a",
                headers: [],
                body: nil,
                timeout: .milliseconds(200),
                limit: 1000
            )
        }
    }

    @Test func anotherServerIsTriedWhenOneIsGone() async throws {
        let service = try await echo()
        let text = RunningGateway.text(upstream: "server 127.0.0.1:1", service: service)
        try await RunningGateway.run(text) { gateway in
            var statuses: [Int] = []
            for _ in 0..<6 { statuses.append(try await gateway.post("/open/a").status) }
            #expect(statuses == [Int](repeating: 200, count: 6))
        }
    }

    @Test func anAnswerThatBreaksOffIsNotTakenForWhole() async throws {
        let service = try await FakeService.start { request in
            .bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nrubbish\r\n")
        }
        try await RunningGateway.run(RunningGateway.text(service: service)) { gateway in
            let answer = try await gateway.get("/open/a")
            // Nothing of it was sent by then.
            #expect(answer.status == 502)
            #expect(answer.content.contains("bad-gateway"))
        }
    }

    @Test func reloadsAreAtomicAndBadOnesChangeNothing() async throws {
        let service = try await echo()
        let good = RunningGateway.text(service: service)
        try await RunningGateway.run(good) { gateway in
            try good.replacing("/few", with: "/other").write(
                to: gateway.configuration,
                atomically: true,
                encoding: .utf8
            )
            #expect(gateway.assembly.reload())
            #expect(try await gateway.get("/few").status == 404)
            #expect(try await gateway.get("/other").status == 200)
            try good.replacing("methods", with: "metods").write(
                to: gateway.configuration,
                atomically: true,
                encoding: .utf8
            )
            #expect(!gateway.assembly.reload())
            #expect(try await gateway.get("/other").status == 200)
            #expect(
                gateway.logs.text.contains(
                    ".conf:14:5: unknown directive \"metods\" in route (did you mean \"methods\"?)"
                )
            )
        }
    }

    @Test func runningRequestsEndBeforeTheGateway() async throws {
        let service = try await echo()
        let answer = Task<String, any Error>.Box()
        try await RunningGateway.run(RunningGateway.text(service: service)) { gateway in
            let port = gateway.port
            answer.task = Task {
                try await RawConnection.with(port) { connection in
                    try await connection.write("GET /open/slower HTTP/1.1\r\nHost: x\r\n\r\n")
                    return try await connection.readToEnd()
                }
            }
            while !service.requests.contains(where: { $0.head.target == "/open/slower" }) {
                try await Task.sleep(for: .milliseconds(5))
            }
        }
        let text = try await answer.task?.value
        #expect(text?.status == 204)
        #expect(text?.field("connection") == "close")
    }
}

extension Task where Failure == any Error {
    /// Carries a task out of a closure.
    final class Box {
        var task: Task?
    }
}
