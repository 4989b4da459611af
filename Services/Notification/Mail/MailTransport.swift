import Foundation

/// A mail as it leaves.
struct MailParcel: Sendable {
    var from: Mailbox
    var to: Mailbox
    /// The mail in full, lines ending in CRLF.
    var bytes: [UInt8]
    /// Sorts by time, names the kind, the same for every attempt: `20261201T093000.000000Z-welcome-<event>-<recipient>`.
    var name: String
}

/// Where mails go.
protocol MailTransport: Sendable {
    /// Hands a mail over; throws ``DeliveryFailure``. May be asked again for a mail that has gone out already.
    func deliver(_ parcel: MailParcel) async throws
}

/// A mail was not taken. `reason` is for the log: no address, host or password in it.
struct DeliveryFailure: Error, Sendable {
    var reason: String
    /// No later attempt will do better.
    var isPermanent: Bool
}

/// Runs blocking calls on threads of their own, away from the pool that Swift's tasks share. The caller bounds how
/// many there are.
enum BlockingThread {
    static func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Swift.Result { try body() }) }
        }
    }
}

/// Writes each mail to a file of its own: the default until SMTP is configured.
struct DirectoryTransport: MailTransport {
    let directory: String

    func deliver(_ parcel: MailParcel) async throws {
        let directory = URL(fileURLWithPath: directory, isDirectory: true)
        try await BlockingThread.run {
            do {
                // Mails hold links that set passwords: nobody but this system user reads them.
                try FileManager.default.createDirectory(
                    at: directory,
                    withIntermediateDirectories: true,
                    attributes: [.posixPermissions: 0o700]
                )
                // Whoever watches the folder never sees half a mail: `.eml` appears when all is there. A repeated
                // attempt writes over its own file.
                let draft = directory.appendingPathComponent(".\(parcel.name).\(UUID().uuidString).tmp")
                let target = directory.appendingPathComponent("\(parcel.name).eml")
                guard
                    FileManager.default.createFile(
                        atPath: draft.path,
                        contents: Data(parcel.bytes),
                        attributes: [.posixPermissions: 0o600]
                    ),
                    rename(draft.path, target.path) == 0
                else { throw CocoaError(.fileWriteUnknown) }
            } catch {
                throw DeliveryFailure(reason: "the mail directory cannot be written: \(error)", isPermanent: false)
            }
        }
    }
}
