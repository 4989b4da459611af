import CCurl
import Foundation
import ServiceKit

/// Where an SMTP server is and who logs in to it.
struct SMTPServer: Sendable, Hashable {
    /// `smtp://host:port`, without the password.
    var url: String
    var user: String?
    var password: String?
    /// Whether the connection must be encrypted, from the start or by STARTTLS.
    var requiresTLS: Bool

    /// Reads `smtp://user:password@host:port` or `smtps://...`. A password is only ever sent over TLS, except to this
    /// machine.
    init(_ text: String) throws {
        let wrong = SettingError("TASKFLOW_SMTP_URL is no URL of a mail server; give smtp://user:password@host:587.")
        guard
            let parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased(),
            scheme == "smtp" || scheme == "smtps", let host = parts.host, !host.isEmpty,
            parts.path.isEmpty || parts.path == "/", parts.query == nil, parts.fragment == nil
        else { throw wrong }
        let isLocal = ["localhost", "127.0.0.1", "::1", "[::1]"].contains(host)
        url = "\(scheme)://\(host):\(parts.port ?? (scheme == "smtps" ? 465 : isLocal ? 25 : 587))"
        user = parts.user
        password = parts.password
        requiresTLS = scheme == "smtps" || (parts.user != nil && !isLocal)
    }
}

/// Sends mails by SMTP with libcurl, one connection each.
struct SMTPTransport: MailTransport {
    let server: SMTPServer
    /// What this side calls itself in EHLO.
    let domain: String
    /// From the first packet to the last.
    let timeout: Int

    init(server: SMTPServer, domain: String, timeout: Int = 60) {
        self.server = server
        self.domain = domain
        self.timeout = timeout
    }

    func deliver(_ parcel: MailParcel) async throws {
        let transport = self
        try await BlockingThread.run { try transport.send(parcel) }
    }

    /// libcurl has to be set up once in a process, before its first use.
    private static let isReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    private func send(_ parcel: MailParcel) throws {
        guard SMTPTransport.isReady, let handle = curl_easy_init() else {
            throw DeliveryFailure(reason: "libcurl cannot be used", isPermanent: false)
        }
        defer { curl_easy_cleanup(handle) }
        let recipients = curl_slist_append(nil, "<\(parcel.to.address)>")
        defer { curl_slist_free_all(recipients) }
        var codes = [
            taskflow_curl_set_string(handle, CURLOPT_URL, "\(server.url)/\(domain)"),
            taskflow_curl_set_string(handle, CURLOPT_PROTOCOLS_STR, "smtp,smtps"),
            taskflow_curl_set_string(handle, CURLOPT_MAIL_FROM, "<\(parcel.from.address)>"),
            taskflow_curl_set_list(handle, CURLOPT_MAIL_RCPT, recipients),
            taskflow_curl_set_long(
                handle,
                CURLOPT_USE_SSL,
                Int(server.requiresTLS ? CURLUSESSL_ALL.rawValue : CURLUSESSL_TRY.rawValue)
            ),
            taskflow_curl_set_long(handle, CURLOPT_UPLOAD, 1),
            taskflow_curl_set_long(handle, CURLOPT_CONNECTTIMEOUT, 10),
            taskflow_curl_set_long(handle, CURLOPT_TIMEOUT, timeout),
            // Other threads of the process must not get SIGALRM.
            taskflow_curl_set_long(handle, CURLOPT_NOSIGNAL, 1),
        ]
        if let user = server.user {
            codes.append(taskflow_curl_set_string(handle, CURLOPT_USERNAME, user))
            codes.append(taskflow_curl_set_string(handle, CURLOPT_PASSWORD, server.password ?? ""))
        }
        let source = ParcelSource(parcel.bytes)
        // The source outlives the transfer: it is released after curl_easy_perform has returned.
        let context = Unmanaged.passRetained(source)
        defer { context.release() }
        codes.append(
            taskflow_curl_set_read(
                handle,
                { buffer, size, count, context in
                    guard let buffer, let context else { return 0 }
                    return Unmanaged<ParcelSource>.fromOpaque(context).takeUnretainedValue()
                        .read(into: buffer, size * count)
                },
                context.toOpaque()
            )
        )
        guard codes.allSatisfy({ $0 == CURLE_OK }) else {
            throw DeliveryFailure(reason: "libcurl refuses an option", isPermanent: false)
        }
        let result = curl_easy_perform(handle)
        guard result != CURLE_OK else { return }
        var response = 0
        _ = taskflow_curl_response_code(handle, &response)
        throw SMTPTransport.failure(result, response: response)
    }

    /// What the server says of this very mail is final (5yz, RFC 5321 section 4.2.1); a refused login is the
    /// operator's to mend, and everything else may pass.
    static func failure(_ result: CURLcode, response: Int) -> DeliveryFailure {
        let isOfTheMail = result == CURLE_SEND_ERROR || result == CURLE_RECV_ERROR || result == CURLE_WEIRD_SERVER_REPLY
        return DeliveryFailure(
            reason: "SMTP: \(String(cString: curl_easy_strerror(result))), last reply \(response)",
            isPermanent: isOfTheMail && (550...559).contains(response)
        )
    }
}

/// The bytes of a mail as libcurl takes them, piece by piece; used by the one thread that runs the transfer.
private final class ParcelSource {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    func read(into buffer: UnsafeMutablePointer<CChar>, _ capacity: Int) -> Int {
        let piece = rest.prefix(capacity)
        piece.withUnsafeBytes { bytes in
            UnsafeMutableRawBufferPointer(start: buffer, count: capacity).copyMemory(from: bytes)
        }
        rest = rest.dropFirst(piece.count)
        return piece.count
    }
}
