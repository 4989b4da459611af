import HTTPTypes
import Hummingbird
import Synchronization

/// Passes routes on to the router and writes them down in a table. Used while a service is put together.
final class RecordingRouter: RouterMethods {
    private let router: Router<AppContext>
    private let table: RouteTable

    init(_ router: Router<AppContext>, _ table: RouteTable) {
        self.router = router
        self.table = table
    }

    @discardableResult
    func on<Responder: HTTPResponder>(
        _ path: RouterPath,
        method: HTTPRequest.Method,
        responder: Responder
    ) -> Self where Responder.Context == AppContext {
        router.on(path, method: method, responder: responder)
        table.add(path, method)
        return self
    }

    func add(middleware: any MiddlewareProtocol<Request, Response, AppContext>) -> Self {
        router.add(middleware: middleware)
        return self
    }
}

/// The routes of a service. The router answers 404 for a wrong method too and cannot be asked what it knows.
final class RouteTable: Sendable {
    private struct Entry {
        let segments: [Segment]
        var methods: Set<HTTPRequest.Method>
    }

    private enum Segment: Equatable {
        case literal(String)
        case capture
        case rest
    }

    private let entries = Mutex<[Entry]>([])

    func add(_ path: RouterPath, _ method: HTTPRequest.Method) {
        let segments: [Segment] = path.map { element in
            let text = element.description
            if text == "**" { return .rest }
            return text.contains("{") || text.contains("*") ? .capture : .literal(text)
        }
        entries.withLock { entries in
            if let index = entries.firstIndex(where: { $0.segments == segments }) {
                entries[index].methods.insert(method)
            } else {
                entries.append(Entry(segments: segments, methods: [method]))
            }
        }
    }

    /// The methods of the route that a path falls to, with HEAD where GET is; nil if it falls to none.
    func methods(of path: String) -> [String]? {
        let parts = path.split(separator: "/", omittingEmptySubsequences: true).map(String.init)
        let best = entries.withLock { entries in
            entries.filter { RouteTable.matches($0.segments, parts) }
                .min { RouteTable.rank($0.segments).lexicographicallyPrecedes(RouteTable.rank($1.segments)) }
        }
        guard var methods = best?.methods else { return nil }
        if methods.contains(.get) { methods.insert(.head) }
        return methods.map(\.rawValue).sorted()
    }

    private static func matches(_ segments: [Segment], _ parts: [String]) -> Bool {
        if segments.last == .rest {
            return parts.count >= segments.count && matches(segments.dropLast(), Array(parts[..<(segments.count - 1)]))
        }
        return segments.count == parts.count
            && zip(segments, parts).allSatisfy { segment, part in
                if case .literal(let text) = segment { text == part } else { true }
            }
    }

    /// A literal comes before a parameter, as in the router.
    private static func rank(_ segments: [Segment]) -> [Int] {
        segments.map { segment in
            switch segment {
            case .literal: 0
            case .capture: 1
            case .rest: 2
            }
        }
    }
}
