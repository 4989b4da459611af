/// What answers say of their bodies. JSON is UTF-8 by its own definition (RFC 8259, section 8.1); saying so keeps
/// old browsers and proxies from guessing.
public enum MediaType {
    /// JSON.
    public static let json = "application/json; charset=utf-8"
    /// A problem (RFC 9457).
    public static let problem = "application/problem+json; charset=utf-8"
}
