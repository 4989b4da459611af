import CCurl
import Foundation

/// One field of a form.
struct FormPart: Sendable {
    var name: String
    var body: [UInt8]
    /// Given for files only.
    var fileName: String?
    /// Given for files only.
    var mediaType: String?
}

/// Why a form could not be sent; says nothing of its fields.
struct HTTPFormError: Error, CustomStringConvertible {
    /// libcurl's own words.
    let description: String
}

/// Posts forms by libcurl. Blocks its thread.
enum HTTPForm {
    /// Longer than any answer that is expected.
    private static let maximumAnswer = 65_536

    /// libcurl wants this once, before any other call and from one thread.
    private static let isReady: Bool = curl_global_init(Int(CURL_GLOBAL_ALL)) == CURLE_OK

    /// Posts `multipart/form-data`; follows no redirects.
    static func post(_ parts: [FormPart], to url: String) throws -> (status: Int, body: [UInt8]) {
        guard isReady, let handle = curl_easy_init() else { throw HTTPFormError(description: "libcurl does not start") }
        defer { curl_easy_cleanup(handle) }
        guard let form = curl_mime_init(handle) else { throw HTTPFormError(description: "libcurl has no memory") }
        defer { curl_mime_free(form) }
        for part in parts { try add(part, to: form) }

        // No signals: they would interrupt threads that are not ours. No other protocol, whatever the URL says.
        try check(taskflow_curl_set_long(handle, CURLOPT_NOSIGNAL, 1))
        try check(taskflow_curl_set_string(handle, CURLOPT_PROTOCOLS_STR, "http,https"))
        try check(taskflow_curl_set_long(handle, CURLOPT_FOLLOWLOCATION, 0))
        try check(taskflow_curl_set_long(handle, CURLOPT_CONNECTTIMEOUT_MS, 5000))
        try check(taskflow_curl_set_long(handle, CURLOPT_TIMEOUT_MS, 60_000))
        try check(taskflow_curl_set_string(handle, CURLOPT_URL, url))
        try check(taskflow_curl_set_pointer(handle, CURLOPT_MIMEPOST, UnsafeMutableRawPointer(form)))

        let answer = Answer()
        // The object outlives the call by `withExtendedLifetime`, so an unretained pointer to it is good throughout.
        let context = Unmanaged.passUnretained(answer).toOpaque()
        try check(
            taskflow_curl_set_write(
                handle,
                { bytes, size, count, context in
                    guard let bytes, let context else { return 0 }
                    let answer = Unmanaged<Answer>.fromOpaque(context).takeUnretainedValue()
                    let received = UnsafeRawBufferPointer(start: bytes, count: size * count)
                    // Taking less than was given ends the transfer.
                    guard answer.body.count + received.count <= HTTPForm.maximumAnswer else { return 0 }
                    answer.body.append(contentsOf: received)
                    return received.count
                },
                context
            )
        )
        try withExtendedLifetime(answer) { try check(curl_easy_perform(handle)) }
        var status = 0
        try check(taskflow_curl_response_code(handle, &status))
        return (status, answer.body)
    }

    private final class Answer {
        var body: [UInt8] = []
    }

    private static func add(_ part: FormPart, to form: OpaquePointer) throws {
        guard let field = curl_mime_addpart(form) else { throw HTTPFormError(description: "libcurl has no memory") }
        try check(curl_mime_name(field, part.name))
        try part.body.withUnsafeBytes { bytes in
            try check(curl_mime_data(field, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count))
        }
        if let fileName = part.fileName { try check(curl_mime_filename(field, fileName)) }
        if let mediaType = part.mediaType { try check(curl_mime_type(field, mediaType)) }
    }

    private static func check(_ code: CURLcode) throws {
        guard code == CURLE_OK else { throw HTTPFormError(description: String(cString: curl_easy_strerror(code))) }
    }
}
