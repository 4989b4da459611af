public import HTTPTypes

extension HTTPField.Name {
    /// `X-Request-Id`.
    public static let requestID = ours("X-Request-Id")
    /// `Idempotency-Key`.
    public static let idempotencyKey = ours("Idempotency-Key")
    /// `Idempotency-Replayed`.
    public static let idempotencyReplayed = ours("Idempotency-Replayed")
    /// `X-Internal-Position`: what a reader must have applied, and where a write ended.
    public static let internalPosition = ours("X-Internal-Position")
    /// `X-Internal-Credential`: what services show each other.
    public static let internalCredential = ours("X-Internal-Credential")
    /// `X-Internal-Client-Address`: the client's address as the gateway sees it.
    public static let internalClientAddress = ours("X-Internal-Client-Address")
    /// `Referrer-Policy`.
    public static let referrerPolicy = ours("Referrer-Policy")

    /// A name written in our own source.
    private static func ours(_ name: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(name) else { preconditionFailure("not a header name: \(name)") }
        return name
    }
}
