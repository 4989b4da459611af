import Configuration
import ServiceKit

/// What Auth reads from its settings beside those every service has.
///
/// - `TASKFLOW_SIGNUP`: `open` or `closed`, `open`; whether anybody may found an organization.
/// - `TASKFLOW_EMAIL_VERIFICATION`: `on` or `off`, `off`; whether a sign-up has to prove its address first.
/// - `TASKFLOW_PASSWORD_MINIMUM`: 8...64, 12; characters of the shortest password.
/// - `TASKFLOW_GATE_REDIS_URL`: string, secret, `TASKFLOW_REDIS_URL`; the Redis that the gateways ask about revocation.
/// - `TASKFLOW_RATE_LIMITS`: `on` or `off`, `on`; off lets any number of mails be triggered and
///   sessions be refreshed at any rate.
struct AuthSettings: Sendable {
    let signUp: SignUpPolicy
    let passwordMinimum: Int
    /// Nil for the Redis that everything uses.
    let gateRedisURL: String?
    let isLimited: Bool

    /// Reads and checks the settings; throws ``ServiceKit/SettingError``.
    init(_ config: ConfigReader) throws {
        signUp = SignUpPolicy(
            isOpen: try config.choice("TASKFLOW_SIGNUP", of: ["open", "closed"], default: "open") == "open",
            verifiesEmail: try config.flag("TASKFLOW_EMAIL_VERIFICATION", default: false)
        )
        passwordMinimum = try config.number("TASKFLOW_PASSWORD_MINIMUM", default: 12, in: 8...64)
        gateRedisURL = try config.redisURL("TASKFLOW_GATE_REDIS_URL")
        isLimited = try config.flag("TASKFLOW_RATE_LIMITS", default: true)
    }
}
