import Crypto
import Foundation
import Identity

/// The token of an unsubscribe link: `base64url(organization || user || kind || HMAC-SHA-256)`. It needs no login and
/// never expires; it can do nothing but stop one kind of mail to one person.
struct UnsubscribeToken: Sendable {
    private let key: SymmetricKey
    /// The place of a kind in a token; never to be given to another one.
    private static let codes: [(kind: NoticeKind, code: UInt8)] = [
        (.projectAdded, 1), (.taskAssigned, 2), (.taskOverdue, 3), (.dailyReminder, 4),
    ]

    init(key: [UInt8]) { self.key = SymmetricKey(data: key) }

    func make(_ request: UnsubscribeRequest) -> String {
        let code = UnsubscribeToken.codes.first { $0.kind == request.kind }?.code ?? 0
        let claim = bytes(request.organization.uuid) + bytes(request.user.uuid) + [code]
        let tag = HMAC<SHA256>.authenticationCode(for: claim, using: key)
        return Base64URL.encode(claim + Array(tag))
    }

    /// What a token asks for; throws 400 `invalid-link` for any but one made here.
    func open(_ token: String) throws -> UnsubscribeRequest {
        guard
            let sealed = Base64URL.decode(token.utf8), sealed.count == 65,
            HMAC<SHA256>.isValidAuthenticationCode(sealed[33...], authenticating: sealed[..<33], using: key),
            let kind = UnsubscribeToken.codes.first(where: { $0.code == sealed[32] })?.kind
        else { throw UnsubscribeRequest.invalidLink }
        return UnsubscribeRequest(
            organization: OrganizationID(uuid(sealed[..<16])),
            user: UserID(uuid(sealed[16..<32])),
            kind: kind
        )
    }

    private func bytes(_ uuid: UUID) -> [UInt8] { withUnsafeBytes(of: uuid.uuid) { Array($0) } }

    private func uuid(_ bytes: ArraySlice<UInt8>) -> UUID {
        UUID(uuid: Array(bytes).withUnsafeBytes { $0.loadUnaligned(as: uuid_t.self) })
    }
}
