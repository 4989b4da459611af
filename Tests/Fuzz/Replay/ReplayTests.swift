import Foundation
import NIOCore
import Testing

@testable import GatewayService

/// Every input of `Tests/Fuzz/corpus`, judged as the fuzzer judges it: what was found once is never found again.
@Suite struct ReplayTests {
    static let corpus = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "corpus")

    private static func files(in folder: URL) throws -> [URL] {
        try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { !$0.lastPathComponent.hasPrefix(".") }
            .sorted { $0.lastPathComponent < $1.lastPathComponent }
    }

    @Test(arguments: FuzzTarget.all) func everyInputKeepsThePromises(_ target: FuzzTarget) throws {
        let files = try Self.files(in: Self.corpus.appending(path: target.name))
        #expect(!files.isEmpty, "no inputs for \(target)")
        for file in files {
            let bytes = [UInt8](try Data(contentsOf: file))
            do {
                try withExactCopy(of: bytes) { try target.judge(UnsafeRawBufferPointer($0)) }
            } catch {
                Issue.record("\(target)/\(file.lastPathComponent): \(error)")
            }
        }
    }

    @Test func everyFolderHasATarget() throws {
        let folders = try Self.files(in: Self.corpus).map(\.lastPathComponent)
        #expect(Set(folders) == Set(FuzzTarget.all.map(\.name)))
    }

    /// More than libFuzzer makes up: either was once read by going one level deeper for each.
    @Test(arguments: [
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "a: b\r\n"),
    ])
    func anAnswerThatNeverComesToItsEndIsAFault(start: String, again: String) {
        var parser = ResponseParser()
        var buffer = ByteBuffer(string: start)
        for _ in 0..<100_000 { buffer.writeString(again) }
        while true {
            switch parser.next(&buffer) {
            case .head, .body: continue
            case .failure: return
            case .end, .more:
                Issue.record("100,000 times \(again.debugDescription) are taken")
                return
            }
        }
    }

    /// A judge that lets everything pass would look just as green.
    @Test func aBrokenPromiseIsSeen() {
        #expect(throws: Violation.self) {
            let lenient = FuzzTarget(name: "lenient") { bytes in
                let text = String(decoding: bytes, as: UTF8.self)
                // `Int` takes a sign and leading zeros: not one spelling for each number.
                if let number = Int(text) { try expect(String(number) == text, "a second spelling") }
            }
            try withExactCopy(of: Array("+7".utf8)) { try lenient.judge(UnsafeRawBufferPointer($0)) }
        }
    }
}
