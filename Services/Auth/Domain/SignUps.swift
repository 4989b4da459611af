import Failures

/// Who may sign up, and how.
struct SignUpPolicy: Sendable, Hashable {
    /// Whether anybody may.
    var isOpen: Bool
    /// Whether the address has to be proved first.
    var verifiesEmail: Bool
}

/// What is said about sign-ups that are not possible.
enum SignUps {
    /// 403: this installation takes none.
    static let closed = Failure(
        .forbidden,
        "signup-closed",
        "This installation takes no sign-ups; ask an admin for an invitation."
    )
    /// 409: there is an account.
    static let exists = Failure.conflict(
        "account-exists",
        "There is an account with this address; log in, or ask for a new password."
    )
}
