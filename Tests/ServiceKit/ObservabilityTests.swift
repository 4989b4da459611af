import Foundation
import Logging
import Metrics
import Synchronization
import Testing

@testable import ServiceKit

@Suite struct PrometheusTests {
    @Test func countersGaugesAndHistograms() {
        let registry = PrometheusRegistry()
        registry.makeCounter(label: "b.total", dimensions: [("route", "/x"), ("code", "a\"b\\c\nd")]).increment(by: 2)
        registry.makeCounter(label: "b.total", dimensions: [("code", "a\"b\\c\nd"), ("route", "/x")]).increment(by: 1)
        registry.makeMeter(label: "a", dimensions: []).set(1.5)
        registry.makeTimer(label: "wait", dimensions: []).recordNanoseconds(3_000_000)
        let lines = registry.render().split(separator: "\n").map(String.init)
        #expect(lines.first == "# TYPE a gauge")
        #expect(lines.contains("a 1.5"))
        #expect(lines.contains(#"b_total{code="a\"b\\c\nd",route="/x"} 3"#))
        #expect(lines.contains("# TYPE wait_seconds histogram"))
        #expect(lines.contains(#"wait_seconds_bucket{le="0.0025"} 0"#))
        #expect(lines.contains(#"wait_seconds_bucket{le="0.005"} 1"#))
        #expect(lines.contains(#"wait_seconds_bucket{le="+Inf"} 1"#))
        #expect(lines.contains("wait_seconds_sum 0.003"))
        #expect(lines.contains("wait_seconds_count 1"))
        #expect(registry.render().hasSuffix("\n"))
    }

    @Test func recordersAreHistogramsAndGauges() {
        let registry = PrometheusRegistry()
        registry.makeRecorder(label: "batch", dimensions: [], aggregate: true).record(Int64(7))
        registry.makeRecorder(label: "depth", dimensions: [], aggregate: false).record(Int64(7))
        registry.makeRecorder(label: "depth", dimensions: [], aggregate: false).record(Int64(4))
        let text = registry.render()
        #expect(text.contains(#"batch_bucket{le="10"} 1"#))
        #expect(text.contains("# TYPE depth gauge\ndepth 4\n"))
    }

    @Test func aNameUsedForTwoKindsShowsTheFirst() {
        let registry = PrometheusRegistry()
        registry.makeCounter(label: "x", dimensions: []).increment(by: 1)
        registry.makeTimer(label: "x_seconds", dimensions: []).recordNanoseconds(1)
        registry.makeCounter(label: "x_seconds", dimensions: []).increment(by: 1)
        #expect(registry.render().contains("# TYPE x_seconds histogram"))
        #expect(!registry.render().contains("\nx_seconds 1"))
    }

    @Test func emptyIsEmpty() { #expect(PrometheusRegistry().render() == "") }
}

@Suite struct LogTests {
    private func logger(asText: Bool, _ lines: Lines) -> Logger {
        Logger(label: "test") { label in
            JSONLogHandler(label: label, level: .info, asText: asText) { lines.add($0) }
        }
    }

    @Test func recordsAreOneJSONObjectALine() throws {
        let lines = Lines()
        var logger = logger(asText: false, lines)
        logger[metadataKey: "request_id"] = "r"
        logger.info("a\nb\u{1B}", metadata: ["status": "200", "nested": ["x": "1"], "list": ["1", "2"]])
        logger.debug("not shown")
        #expect(lines.all.count == 1)
        let line = try #require(lines.all.first)
        #expect(line.hasSuffix("}\n"))
        #expect(line.dropLast().allSatisfy { !$0.isNewline })
        #expect(!line.unicodeScalars.contains("\u{1B}"))
        let object = try JSON(parsing: Array(line.utf8.dropLast()))
        #expect(object["message"]?.text == "a\nb\u{1B}")
        #expect(object["level"]?.text == "info")
        #expect(object["logger"]?.text == "test")
        #expect(object["request_id"]?.text == "r")
        #expect(object["nested.x"]?.text == "1")
        #expect(object["list"]?.text == "1, 2")
    }

    @Test(arguments: [true, false])
    func secretsAreNotShown(_ asText: Bool) {
        let lines = Lines()
        logger(asText: asText, lines).info(
            "x",
            metadata: ["Authorization": "s3cret", "headers": ["Set-Cookie": "s3cret"], "new_password": "s3cret"]
        )
        #expect(lines.all.count == 1)
        #expect(!lines.all.joined().contains("s3cret"))
    }

    @Test func textIsOneLineToo() {
        let lines = Lines()
        logger(asText: true, lines).info("a\nb", metadata: ["k": "v\r\n"])
        #expect(lines.all.count == 1)
        #expect(lines.all.first?.filter(\.isNewline).count == 1)
        #expect(lines.all.first?.contains("info") == true)
    }
}

/// What a log handler wrote.
final class Lines: Sendable {
    private let kept = Mutex<[String]>([])

    var all: [String] { kept.withLock { $0 } }

    func add(_ bytes: [UInt8]) { kept.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) } }
}
