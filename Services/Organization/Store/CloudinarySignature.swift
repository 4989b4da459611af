import Crypto

/// Signs requests to Cloudinary's upload API.
struct CloudinarySignature: Sendable {
    /// The hash that the account is set to; SHA-1 unless somebody changed it.
    enum Algorithm: String, Sendable, CaseIterable {
        case sha1
        case sha256
    }

    let secret: String
    var algorithm = Algorithm.sha1

    /// The signature, lower-case hex, of the parameters that are sent along with it.
    ///
    /// Version 2 of the scheme: `&` inside a pair is escaped, so that no value can pass for another parameter.
    /// Parameters that are never signed (`file`, `cloud_name`, `resource_type`, `api_key`, `signature`) and empty ones
    /// are left out.
    func sign(_ parameters: [(name: String, value: String)]) -> String {
        let unsigned: Set<String> = ["file", "cloud_name", "resource_type", "api_key", "signature"]
        let pairs = parameters.filter { !$0.value.isEmpty && !unsigned.contains($0.name) }
            .map { "\($0.name)=\($0.value)".replacing("&", with: "%26") }
        return hash(pairs)
    }

    /// Whether an answer is signed by the same secret; answers are signed by version 1, which escapes nothing.
    func isValid(answer signature: String, publicID: String, version: String) -> Bool {
        let expected = Array(hash(["public_id=\(publicID)", "version=\(version)"]).utf8)
        let given = Array(signature.utf8)
        guard expected.count == given.count else { return false }
        return zip(expected, given).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }

    private func hash(_ pairs: [String]) -> String {
        let sorted = pairs.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        let text = Array((sorted.joined(separator: "&") + secret).utf8)
        return switch algorithm {
        case .sha1: hex(Insecure.SHA1.hash(data: text))
        case .sha256: hex(SHA256.hash(data: text))
        }
    }

    private func hex(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
