import Foundation
import NIOCore

/// An IPv4 or IPv6 address, comparable byte by byte.
struct NetworkAddress: Sendable, Hashable, CustomStringConvertible {
    /// 4 or 16 bytes.
    let bytes: [UInt8]
    let description: String

    /// Reads an address without port or brackets; an IPv4 address in IPv6 dress counts as IPv4.
    init?(_ text: String) {
        var room = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &room) == 1 {
            bytes = Array(room.prefix(4))
        } else if inet_pton(AF_INET6, text, &room) == 1 {
            let mapped = room.prefix(10).allSatisfy { $0 == 0 } && room[10] == 0xFF && room[11] == 0xFF
            bytes = mapped ? Array(room[12...]) : room
        } else {
            return nil
        }
        if bytes.count == 4 {
            description = bytes.map(String.init).joined(separator: ".")
        } else {
            description = (try? SocketAddress(ipAddress: text, port: 0).ipAddress) ?? text
        }
    }

    /// The address of a peer; nil for anything but IP.
    init?(_ socket: SocketAddress) {
        guard let text = socket.ipAddress else { return nil }
        self.init(text)
    }

    /// What requests are counted by: an IPv6 subscriber has a whole /64 to send from.
    var countedAs: String {
        guard bytes.count == 16 else { return description }
        return bytes.prefix(8).map { String($0, radix: 16) }.joined(separator: ".") + "/64"
    }

    static func == (left: NetworkAddress, right: NetworkAddress) -> Bool { left.bytes == right.bytes }

    func hash(into hasher: inout Hasher) { hasher.combine(bytes) }
}

/// A block of addresses: `10.0.0.0/8`, or one address.
struct AddressBlock: Sendable, Hashable, CustomStringConvertible {
    let address: NetworkAddress
    let prefix: Int

    var description: String { prefix == address.bytes.count * 8 ? address.description : "\(address)/\(prefix)" }

    init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = NetworkAddress(String(first)) else { return nil }
        self.address = address
        let all = address.bytes.count * 8
        if parts.count == 2 {
            guard let prefix = ConfigurationValue.digits(String(parts[1])), (0...all).contains(prefix) else {
                return nil
            }
            self.prefix = prefix
        } else {
            prefix = all
        }
    }

    func contains(_ other: NetworkAddress) -> Bool {
        guard other.bytes.count == address.bytes.count else { return false }
        for bit in stride(from: 0, to: prefix, by: 8) {
            let index = bit / 8
            let width = min(8, prefix - bit)
            let mask = UInt8(truncatingIfNeeded: 0xFF << (8 - width))
            if address.bytes[index] & mask != other.bytes[index] & mask { return false }
        }
        return true
    }
}

extension [AddressBlock] {
    /// Who a request comes from: the peer, or, if the peer is trusted, the right-most hop of `X-Forwarded-For` that is
    /// not. Some proxies write the client's port too, `192.0.2.1:4711` or `[2001:db8::1]:4711`; empty items count for
    /// nothing (RFC 9110, section 5.6.1). A hop that is no address ends the search: what stands left of it could be
    /// anyone's invention.
    func client(peer: NetworkAddress, forwardedFor: [String]) -> NetworkAddress {
        guard !isEmpty else { return peer }
        var client = peer
        let hops = forwardedFor.flatMap { $0.split(separator: ",", omittingEmptySubsequences: false) }
        for hop in hops.reversed() {
            guard contains(where: { $0.contains(client) }) else { return client }
            var text = hop.drop { $0 == " " || $0 == "\t" }
            while text.last == " " || text.last == "\t" { text.removeLast() }
            if text.isEmpty { continue }
            guard let address = NetworkAddress(String(withoutPort(text))) else { return client }
            client = address
        }
        return client
    }

    /// The text itself where it has neither a port nor brackets, or is of no known form.
    private func withoutPort(_ hop: Substring) -> Substring {
        var (address, rest) = (hop, Substring())
        if hop.first == "[", let end = hop.firstIndex(of: "]") {
            (address, rest) = (hop[hop.index(after: hop.startIndex)..<end], hop[hop.index(after: end)...])
            if !address.contains(":") { return hop }
        } else if let colon = hop.firstIndex(of: ":"), hop.lastIndex(of: ":") == colon {
            (address, rest) = (hop[..<colon], hop[colon...])
        }
        if rest.isEmpty { return address }
        return rest.first == ":" && UInt16(rest.dropFirst()) != nil && rest.dropFirst().first != "+" ? address : hop
    }
}
