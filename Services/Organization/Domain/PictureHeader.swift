/// The kinds of picture that are taken.
enum PictureFormat: String, Sendable, CaseIterable {
    case jpeg
    case png
    case webP = "webp"
    case gif

    /// `image/png`.
    var mediaType: String { "image/\(rawValue)" }

    /// The ending its files get.
    var fileExtension: String { self == .jpeg ? "jpg" : rawValue }

    /// The endings and media types that people and programs write for it.
    fileprivate var knownExtensions: [String] { self == .jpeg ? ["jpg", "jpeg", "jpe", "jfif"] : [rawValue] }
    fileprivate var knownMediaTypes: [String] {
        switch self {
        case .jpeg: ["image/jpeg", "image/jpg", "image/pjpeg"]
        case .png: ["image/png", "image/apng", "image/x-png"]
        case .webP, .gif: [mediaType]
        }
    }

    /// By the first bytes.
    init?(magic bytes: [UInt8]) {
        func starts(_ magic: [UInt8], at offset: Int = 0) -> Bool {
            bytes.count >= offset + magic.count && bytes[offset..<(offset + magic.count)].elementsEqual(magic)
        }
        if starts([0xFF, 0xD8, 0xFF]) {
            self = .jpeg
        } else if starts([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
            self = .png
        } else if starts(Array("RIFF".utf8)), starts(Array("WEBP".utf8), at: 8) {
            self = .webP
        } else if starts(Array("GIF87a".utf8)) || starts(Array("GIF89a".utf8)) {
            self = .gif
        } else {
            return nil
        }
    }

    /// Whether what the client says of the file fits. A name without an ending, no type, or `application/octet-stream`
    /// say nothing.
    func agrees(fileName: String, mediaType declared: String?) -> Bool {
        if let dot = fileName.lastIndex(of: ".") {
            let ending = fileName[fileName.index(after: dot)...].lowercased()
            guard knownExtensions.contains(ending) else { return false }
        }
        guard let declared else { return true }
        let type = declared.prefix { $0 != ";" }.lowercased().filter { $0 != " " && $0 != "\t" }
        return type == "application/octet-stream" || knownMediaTypes.contains(type)
    }
}

/// What a picture's file says of it, read without decoding any pixels: a small file can hold a picture that takes
/// gigabytes once decoded.
struct PictureHeader: Sendable, Hashable {
    let format: PictureFormat
    let width: Int
    let height: Int
    /// 1 unless it is animated.
    let frames: Int

    /// Pixels per side.
    static let maximumSide = 8192
    /// Pixels in all.
    static let maximumArea = 25_000_000
    /// Of an animation.
    static let maximumFrames = 100

    /// Reads the header; throws ``BadPicture`` if the file is cut off, contradicts itself or is over a limit.
    init(_ bytes: [UInt8]) throws {
        guard let format = PictureFormat(magic: bytes) else {
            throw BadPicture("Must be a JPEG, PNG, WebP or GIF picture.")
        }
        var measure = PictureMeasure()
        var reader = ByteReader(bytes)
        switch format {
        case .jpeg: try reader.measureJPEG(&measure)
        case .png: try reader.measurePNG(&measure)
        case .webP: try reader.measureWebP(&measure)
        case .gif: try reader.measureGIF(&measure)
        }
        guard measure.width > 0, measure.height > 0 else { throw BadPicture.damaged }
        self.format = format
        width = measure.width
        height = measure.height
        frames = max(measure.frames, 1)
    }
}

/// Why a picture is refused, in one sentence for people.
struct BadPicture: Error, Hashable {
    let detail: String

    init(_ detail: String) { self.detail = detail }

    static let damaged = BadPicture("The picture's file is damaged.")
}

/// What has been seen of a picture so far; refuses as soon as a limit is passed.
struct PictureMeasure {
    private(set) var width = 0
    private(set) var height = 0
    /// As the file announces, or as it has: whichever is more.
    private(set) var frames = 0
    private var framesSeen = 0

    /// Takes the size of the canvas or of a frame on it; decoders make room for the largest.
    mutating func see(width: Int, height: Int) throws {
        self.width = max(self.width, width)
        self.height = max(self.height, height)
        guard self.width <= PictureHeader.maximumSide, self.height <= PictureHeader.maximumSide else {
            throw BadPicture("May be at most \(PictureHeader.maximumSide) pixels wide and high.")
        }
        guard self.width * self.height <= PictureHeader.maximumArea else {
            throw BadPicture("May have at most \(PictureHeader.maximumArea / 1_000_000) million pixels.")
        }
    }

    mutating func seeFrame() throws {
        framesSeen += 1
        try see(frames: framesSeen)
    }

    mutating func see(frames: Int) throws {
        self.frames = max(self.frames, frames)
        guard self.frames <= PictureHeader.maximumFrames else {
            throw BadPicture("May have at most \(PictureHeader.maximumFrames) frames.")
        }
    }
}

/// Reads numbers from bytes and never beyond them.
struct ByteReader {
    private let bytes: [UInt8]
    private(set) var offset = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var remaining: Int { bytes.count - offset }

    mutating func byte() throws -> UInt8 {
        guard offset < bytes.count else { throw BadPicture.damaged }
        defer { offset += 1 }
        return bytes[offset]
    }

    mutating func skip(_ count: Int) throws {
        guard count >= 0, count <= remaining else { throw BadPicture.damaged }
        offset += count
    }

    mutating func take(_ count: Int) throws -> ArraySlice<UInt8> {
        let start = offset
        try skip(count)
        return bytes[start..<offset]
    }

    /// Most significant byte first, at most 4 bytes.
    mutating func big(_ count: Int) throws -> Int { try take(count).reduce(0) { $0 << 8 | Int($1) } }

    /// Least significant byte first, at most 4 bytes.
    mutating func little(_ count: Int) throws -> Int { try take(count).reversed().reduce(0) { $0 << 8 | Int($1) } }
}
