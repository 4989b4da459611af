import Failures
import HTTPTypes
import Hummingbird
import NIOCore
import ServiceKit

/// Pictures that are kept on disk; readable by whoever knows their names, which nobody can guess.
struct MediaRoutes: Sendable {
    let storage: DiskStorage

    func add(to group: RouterGroup<AppContext>) {
        group.get("/media/:organization/:file", use: read)
    }

    @Sendable func read(_ request: Request, context: AppContext) async throws -> Response {
        _ = try request.parameters()
        guard
            let name = MediaName(organization: try context.text("organization"), file: try context.text("file")),
            let bytes = try await storage.read(name)
        else { throw Failure.notFound }
        // A name never gets another content, so it is its own version and may be kept for ever.
        let etag = "\"\(name.text.split(separator: "/").last ?? "")\""
        var headers: HTTPFields = [
            .cacheControl: "public, max-age=31536000, immutable",
            .eTag: etag,
            .contentType: name.format.mediaType,
        ]
        // What was uploaded is only ever a picture, whatever a browser might see in it.
        headers[.xContentTypeOptions] = "nosniff"
        headers[.contentSecurityPolicy] = "default-src 'none'; frame-ancestors 'none'; sandbox"
        if let known = request.headers[.ifNoneMatch], known == "*" || MediaRoutes.tags(known).contains(etag) {
            headers[.contentType] = nil
            return Response(status: .notModified, headers: headers)
        }
        return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    private static func tags(_ list: String) -> [String] {
        list.split(separator: ",").map { tag in
            let tag = tag.filter { $0 != " " && $0 != "\t" }
            return tag.hasPrefix("W/") ? String(tag.dropFirst(2)) : tag
        }
    }
}
