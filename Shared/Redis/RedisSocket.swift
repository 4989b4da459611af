import Glibc
import Poller

/// A connected, non-blocking stream socket, and how to get one.
enum RedisSocket {
    /// Connects to the first address of the endpoint that answers; the whole may take `timeout`.
    static func connect(to endpoint: RedisAddress.Endpoint, timeout: Duration) async throws -> Int32 {
        let deadline = ContinuousClock.now + timeout
        let candidates = try await addresses(of: endpoint)
        var failure = RedisError(.unavailable, message: "no address")
        for address in candidates {
            do {
                return try await connect(to: address, until: deadline)
            } catch let error as RedisError {
                failure = error
            }
        }
        throw failure
    }

    /// An address in the form that the system takes.
    struct SocketAddress: Sendable {
        var family: Int32
        var bytes: [UInt8]
    }

    private static func addresses(of endpoint: RedisAddress.Endpoint) async throws -> [SocketAddress] {
        switch endpoint {
        case .unix(let path): return [try unixAddress(path)]
        case .tcp(let host, let port):
            let found = await BlockingCalls.run { resolve(host: host, port: port) }
            guard !found.isEmpty else { throw RedisError(.unavailable, message: "cannot resolve \(host)") }
            return found
        }
    }

    private static func unixAddress(_ path: String) throws -> SocketAddress {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let name = Array(path.utf8)
        guard name.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw RedisError(.unavailable, message: "the socket's path is too long")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        return SocketAddress(family: AF_UNIX, bytes: withUnsafeBytes(of: &address) { Array($0) })
    }

    private static func resolve(host: String, port: UInt16) -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [SocketAddress] = []
        var next = list
        while let entry = next {
            let bytes = UnsafeRawBufferPointer(start: entry.pointee.ai_addr, count: Int(entry.pointee.ai_addrlen))
            found.append(SocketAddress(family: entry.pointee.ai_family, bytes: Array(bytes)))
            next = entry.pointee.ai_next
        }
        return found
    }

    @PollerActor
    private static func connect(to address: SocketAddress, until deadline: ContinuousClock.Instant) async throws
        -> Int32
    {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.family, kind, 0)
        guard descriptor >= 0 else { throw systemError("socket") }
        do {
            let result = address.bytes.withUnsafeBytes { bytes in
                guard let start = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self) else { return Int32(-1) }
                return Glibc.connect(descriptor, start, socklen_t(bytes.count))
            }
            if result != 0 {
                guard errno == EINPROGRESS else { throw systemError("connect") }
                try await waitUntilWritable(descriptor, until: deadline)
                var status: Int32 = 0
                var size = socklen_t(MemoryLayout<Int32>.size)
                getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &status, &size)
                guard status == 0 else { throw systemError("connect", status) }
            }
            if address.family != AF_UNIX { configureTCP(descriptor) }
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    @PollerActor
    private static func waitUntilWritable(_ descriptor: Int32, until deadline: ContinuousClock.Instant) async throws {
        defer { Poller.shared.deregister(descriptor) }
        let inTime: Bool = try await withCheckedThrowingContinuation { continuation in
            let waiter = OneShot(continuation)
            let timer = Poller.shared.schedule(after: ContinuousClock.now.duration(to: deadline)) {
                waiter.resume(false)
            }
            do throws(PollerError) {
                try Poller.shared.register(descriptor, interest: .writable) { _ in
                    Poller.shared.cancel(timer)
                    waiter.resume(true)
                }
            } catch {
                Poller.shared.cancel(timer)
                waiter.fail(systemError("epoll", error.errno))
            }
        }
        guard inTime else { throw RedisError(.unavailable, message: "connect: no answer in time") }
    }

    /// Small requests leave at once, and a peer that vanished without a word is noticed within half a minute.
    private static func configureTCP(_ descriptor: Int32) {
        func set(_ level: Int32, _ option: Int32, _ value: Int32) {
            var value = value
            setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
        }
        set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        set(SOL_SOCKET, SO_KEEPALIVE, 1)
        set(Int32(IPPROTO_TCP), TCP_KEEPIDLE, 10)
        set(Int32(IPPROTO_TCP), TCP_KEEPINTVL, 5)
        set(Int32(IPPROTO_TCP), TCP_KEEPCNT, 3)
    }

    static func systemError(_ call: String, _ number: Int32 = errno) -> RedisError {
        RedisError(.unavailable, message: "\(call): \(String(cString: strerror(number)))")
    }
}

/// A continuation that two callbacks race for.
@PollerActor
private final class OneShot {
    private var continuation: CheckedContinuation<Bool, any Error>?

    init(_ continuation: CheckedContinuation<Bool, any Error>) { self.continuation = continuation }

    func resume(_ value: Bool) {
        continuation?.resume(returning: value)
        continuation = nil
    }

    func fail(_ error: RedisError) {
        continuation?.resume(throwing: error)
        continuation = nil
    }
}
