import Failures
import HTTPTypes
import Hummingbird
import Identity
import NIOCore
import ServiceKit
import Synchronization

/// What people change of themselves: their names and their picture.
struct AccountRoutes: Sendable {
    let directory: Directory
    let portraits: Portraits
    let uploads = UploadGate()

    func add(to group: RouterGroup<AppContext>) {
        group.patch("/api/account", use: patch)
        group.put("/api/account/profile-pic", use: replacePicture)
        group.delete("/api/account/profile-pic", use: removePicture)
    }

    @Sendable func patch(_ request: Request, context: AppContext) async throws -> Response {
        try request.requireFields(among: User.fieldNames)
        let body = try await request.jsonObject()
        let user = try await directory.changeSelf(as: try context.requirePrincipal()) { user in
            try request.requireMatch(version: user.version)
            return try AccountRoutes.patch(body, of: user)
        }
        return unstored(try Reply.object(user.json, version: user.version, request: request))
    }

    @Sendable func replacePicture(_ request: Request, context: AppContext) async throws -> Response {
        let principal = try context.requirePrincipal()
        _ = try request.parameters()
        guard
            let type = request.headers[.contentType],
            let kind = HeaderParameters.parse(type)?.value, kind == "multipart/form-data"
        else {
            throw Failure(.unsupportedMediaType, "unsupported-media-type", "Must be multipart/form-data.")
        }
        guard let boundary = MultipartForm.boundary(ofContentType: type) else {
            throw Failure(.badRequest, "bad-multipart", "The form's boundary is missing or not well formed.")
        }
        let picture = try await uploads.pass(as: principal) {
            let upload = try AccountRoutes.upload(try await AccountRoutes.body(of: request), boundary: boundary)
            return try await portraits.replace(with: upload, as: principal)
        }
        return unstored(Reply.json(.object([("profile_img", .string(picture.url))])))
    }

    @Sendable func removePicture(_ request: Request, context: AppContext) async throws -> Response {
        _ = try request.parameters()
        try await portraits.remove(as: try context.requirePrincipal())
        return unstored(Reply.noContent)
    }

    /// Answers about an account are not kept by anybody on the way.
    private func unstored(_ response: Response) -> Response {
        var response = response
        response.headers[.cacheControl] = "no-store"
        return response
    }

    // MARK: Bodies

    static func patch(_ body: JSON, of user: User) throws -> UserPatch {
        var fields = BodyFields(body)
        var patch = UserPatch()
        patch.firstName = fields.text("first_name", maximumLength: 100, allowsBlank: false)
        patch.lastName = fields.text("last_name", maximumLength: 100, allowsBlank: false)
        fields.readOnly(
            [
                "id", "email", "name", "role", "department", "is_active", "profile_img", "created_at", "updated_at",
                "version",
            ],
            as: user.json
        )
        try fields.finish()
        return patch
    }

    /// A whole form with its picture and some room for the form itself.
    static let maximumBody = 6 * 1_048_576

    /// The body, read no further than it may be long.
    private static func body(of request: Request) async throws -> [UInt8] {
        let tooLarge = Failure(.tooLarge, "too-large", "The body may have at most 6 MiB.")
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > maximumBody { throw tooLarge }
        var bytes: [UInt8] = []
        for try await chunk in request.body {
            guard bytes.count + chunk.readableBytes <= maximumBody else { throw tooLarge }
            bytes.append(contentsOf: chunk.readableBytesView)
        }
        return bytes
    }

    /// The one file of the form.
    static func upload(_ body: [UInt8], boundary: String) throws -> PictureUpload {
        let form: MultipartForm
        do {
            form = try MultipartForm(body, boundary: boundary)
        } catch let error as MultipartError {
            throw Failure(.badRequest, "bad-multipart", error.detail)
        }
        var failures: [FieldFailure] = []
        for field in form.fields where !field.name.utf8.elementsEqual("profile_img".utf8) {
            let name = field.name.replacing("~", with: "~0").replacing("/", with: "~1")
            failures.append(FieldFailure(pointer: "/\(name)", "unknown-field", "There is no such field."))
        }
        let files = form.fields.filter { $0.name.utf8.elementsEqual("profile_img".utf8) }
        if files.isEmpty {
            failures.append(FieldFailure(pointer: "/profile_img", "required", "This field is required."))
        } else if files.count > 1 {
            failures.append(FieldFailure(pointer: "/profile_img", "repeated", "May be given only once."))
        } else if files[0].fileName == nil {
            failures.append(FieldFailure(pointer: "/profile_img", "wrong-type", "Must be a file."))
        }
        guard failures.isEmpty, let file = files.first, let fileName = file.fileName else {
            throw Failure.invalid(failures)
        }
        return PictureUpload(
            fileName: fileName,
            mediaType: file.mediaType?.trimmingPrefix(while: \.isWhitespace).description,
            bytes: Array(file.body)
        )
    }
}

/// Lets so many uploads in at once that their bodies fit into memory; of one person two, of one organization three
/// quarters, since a picture may take minutes to come.
final class UploadGate: Sendable {
    private let inside = Mutex<[Principal]>([])
    private let maximum: Int

    init(maximum: Int = 16) { self.maximum = maximum }

    /// Runs `body`, or throws 503 `busy` when the gate is full.
    func pass<Result: Sendable>(as principal: Principal, _ body: () async throws -> Result) async throws -> Result {
        let isAdmitted = inside.withLock { inside in
            let colleagues = inside.filter { $0.organization == principal.organization }
            guard
                inside.count < maximum, colleagues.count < maximum * 3 / 4,
                colleagues.count(where: { $0.user == principal.user }) < 2
            else { return false }
            inside.append(principal)
            return true
        }
        guard isAdmitted else { throw Failure.unavailable("busy", "Too many pictures are on their way at once.") }
        defer {
            inside.withLock { inside in
                if let index = inside.firstIndex(where: { $0 == principal }) { inside.remove(at: index) }
            }
        }
        return try await body()
    }
}
