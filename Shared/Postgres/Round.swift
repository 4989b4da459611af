import CLibPQ
import Glibc
import Poller

/// The statements between two synchronization points and the one who waits for their answers.
@PollerActor
final class Round {
    private var results: [Rows?]
    private var error: PostgresError?
    private var completion: ((Result<[Rows], PostgresError>) -> Void)?
    /// True when the last answer is there or never will be.
    private(set) var isDrained = false

    init(slots: Int, completion: @escaping (Result<[Rows], PostgresError>) -> Void) {
        results = Array(repeating: nil, count: slots)
        self.completion = completion
    }

    func keep(_ rows: Rows, in slot: Int) { results[slot] = rows }

    /// Remembers the first error; nil is for a statement that was skipped because of it.
    func fail(_ error: PostgresError?) {
        if self.error == nil { self.error = error }
    }

    /// All answers are there.
    func drain() {
        isDrained = true
        complete(error.map { .failure($0) } ?? .success(results.map { $0 ?? Rows() }))
    }

    /// The connection is gone; what the server said last tells why.
    func lose(_ reason: PostgresError) {
        guard !isDrained else { return }
        isDrained = true
        let message = [error?.message, reason.message].compactMap { $0 }.joined()
        complete(.failure(PostgresError(.connectionLost, sqlState: error?.sqlState, message: message)))
    }

    /// Nobody waits any more.
    func letGo() { completion = nil }

    private func complete(_ result: Result<[Rows], PostgresError>) {
        let completion = self.completion
        self.completion = nil
        completion?(result)
    }
}

/// Which statements a connection has prepared, by text; the least recently used one makes room.
struct StatementCache {
    enum Name {
        case known(String)
        case new(String)
    }

    private final class Entry {
        let name: String
        var generation: UInt64
        init(name: String, generation: UInt64) {
            self.name = name
            self.generation = generation
        }
    }

    private let capacity: Int
    private var entries: [String: Entry] = [:]
    private var lastName = 0
    private var generation: UInt64 = 0
    /// Names that the server is still to forget.
    private(set) var evicted: [String] = []

    init(capacity: Int) { self.capacity = capacity }

    var count: Int { entries.count }

    /// A number for the round that begins; what it uses is not evicted in it.
    mutating func nextGeneration() -> UInt64 {
        generation += 1
        return generation
    }

    /// The name of a statement, which has to be prepared if it is new.
    mutating func use(_ text: String, generation: UInt64) -> Name {
        if let entry = entries[text] {
            entry.generation = generation
            return .known(entry.name)
        }
        if entries.count >= capacity, let oldest = entries.min(by: { $0.value.generation < $1.value.generation }),
            oldest.value.generation < generation
        {
            entries[oldest.key] = nil
            evicted.append(oldest.value.name)
        }
        lastName += 1
        let entry = Entry(name: "s\(lastName)", generation: generation)
        entries[text] = entry
        return .new(entry.name)
    }

    /// Drops a statement that could not be prepared.
    mutating func forget(_ text: String) { entries[text] = nil }

    mutating func takeEvicted() -> [String] {
        defer { evicted = [] }
        return evicted
    }
}

/// Values of a statement as the C strings that libpq wants, in memory that is used again and again.
struct ParameterBuffer {
    private var bytes: [CChar] = []
    private var offsets: [Int] = []
    private var pointers: [UnsafePointer<CChar>?] = []

    /// Calls `body` with a pointer for each value, nil for NULL; they are gone when it returns.
    mutating func withPointers<Result>(
        _ parameters: [SQLParameter],
        _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Result
    ) -> Result {
        if parameters.isEmpty { return body(nil) }
        bytes.removeAll(keepingCapacity: bytes.capacity <= 65_536)
        offsets.removeAll(keepingCapacity: true)
        pointers.removeAll(keepingCapacity: true)
        for parameter in parameters {
            guard var text = parameter.text else {
                offsets.append(-1)
                continue
            }
            offsets.append(bytes.count)
            text.withUTF8 { utf8 in
                utf8.withMemoryRebound(to: CChar.self) { bytes.append(contentsOf: $0) }
            }
            bytes.append(0)
        }
        return bytes.withUnsafeBufferPointer { buffer in
            for offset in offsets { pointers.append(offset < 0 ? nil : buffer.baseAddress.map { $0 + offset }) }
            return pointers.withUnsafeBufferPointer { body($0.baseAddress) }
        }
    }
}
