import Crypto
import Foundation

/// The Content-Security-Policy of a page with one style sheet of its own and nothing else.
enum PagePolicy {
    /// Allows exactly this style sheet, named by its hash, and forms that go back to where the page came from.
    static func allowing(style: String) -> String {
        let hash = Data(SHA256.hash(data: Data(style.utf8))).base64EncodedString()
        return
            "default-src 'none'; style-src 'sha256-\(hash)'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    }
}
