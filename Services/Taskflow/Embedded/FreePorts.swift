import Foundation

/// Finds TCP ports on loopback that nobody listens on.
enum FreePorts {
    /// The wanted port, or an error if it is taken; without a wish the first free one from `otherwise` on.
    static func pick(wanted: Int?, otherwise: Int) throws -> Int {
        if let wanted {
            guard (1...65_535).contains(wanted) else { throw StartError("--port must be 1 to 65535") }
            if let reason = refusal(of: wanted) {
                throw StartError(
                    reason == EADDRINUSE
                        ? "port \(wanted) is taken by another program: give another --port"
                        : "port \(wanted) cannot be used (\(String(cString: strerror(reason)))): give another --port"
                )
            }
            return wanted
        }
        guard let port = (otherwise..<(otherwise + 100)).first(where: { refusal(of: $0) == nil }) else {
            throw StartError("no free port from \(otherwise) to \(otherwise + 99): give one with --port")
        }
        return port
    }

    /// Different free ports chosen by the system.
    static func several(_ count: Int) throws -> [Int] {
        var sockets: [Int32] = []
        defer { for socket in sockets { close(socket) } }
        return try (0..<count).map { _ in
            guard case .success(let bound) = bound(to: 0) else { throw StartError("no free port on 127.0.0.1") }
            sockets.append(bound.socket)
            return bound.port
        }
    }

    /// The system's reason why nobody can listen there now, as errno has it; nil if it is free.
    private static func refusal(of port: Int) -> Int32? {
        switch bound(to: port) {
        case .success(let bound):
            close(bound.socket)
            return nil
        case .failure(let refusal): return refusal.reason
        }
    }

    private struct Refusal: Error {
        let reason: Int32
    }

    private static func bound(to port: Int) -> Result<(socket: Int32, port: Int), Refusal> {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { return .failure(Refusal(reason: errno)) }
        var yes: Int32 = 1
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let taken = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(socket, generic, size) == 0 && listen(socket, 1) == 0 && getsockname(socket, generic, &size) == 0
            }
        }
        guard taken else {
            let reason = errno
            close(socket)
            return .failure(Refusal(reason: reason))
        }
        return .success((socket, Int(in_port_t(bigEndian: address.sin_port))))
    }
}
