@testable import OrganizationService

/// Image headers: whatever is accepted is within the limits and is what the file says where a format says it in a fixed
/// place, less of a file never counts for more, and pictures of any size that is allowed are read as what they are.
enum PictureProperty {
    static func judge(_ bytes: UnsafeRawBufferPointer) throws {
        let bytes = Array(bytes)
        let header = try measured(bytes)
        if let header {
            try judgeAccepted(header, bytes)
            var chooser = Chooser(bytes)
            for cut in [bytes.count - 1, chooser.below(bytes.count)] {
                guard let shorter = try measured(Array(bytes.prefix(cut))) else { continue }
                try expect(shorter.format == header.format, "a part of it is of another format")
                try expect(
                    shorter.width <= header.width && shorter.height <= header.height
                        && shorter.frames <= header.frames,
                    "a part of it is larger than all of it"
                )
            }
            let longer = try measured(bytes + chooser.bytes(9))
            if header.format != .webP {
                try expect(longer == header, "what comes after the end counts")
            } else if let longer {
                // Blocks behind the end that it announces are measured, too: that can only make it larger.
                try expect(longer.width >= header.width && longer.height >= header.height, "shrinks as it grows")
            }
        }
        try judgeMade(bytes)
    }

    private static func measured(_ bytes: [UInt8]) throws -> PictureHeader? {
        do {
            return try PictureHeader(bytes)
        } catch let refusal as BadPicture {
            try expect(!refusal.detail.isEmpty, "refused without a word")
            return nil
        }
    }

    private static func judgeAccepted(_ header: PictureHeader, _ bytes: [UInt8]) throws {
        try expect(header.format == PictureFormat(magic: bytes), "is of another format than it begins")
        try expect(
            (1...PictureHeader.maximumSide).contains(header.width)
                && (1...PictureHeader.maximumSide).contains(header.height)
                && header.width * header.height <= PictureHeader.maximumArea,
            "beyond the limits: \(header.width) × \(header.height)"
        )
        try expect(
            (1...PictureHeader.maximumFrames).contains(header.frames),
            "a number of frames beyond the limits: \(header.frames)"
        )
        func big(_ offset: Int, _ count: Int) -> Int {
            bytes[offset..<(offset + count)].reduce(0) { $0 * 256 + Int($1) }
        }
        func little(_ offset: Int) -> Int { Int(bytes[offset]) + 256 * Int(bytes[offset + 1]) }
        switch header.format {
        case .png:
            try expect(header.width == big(16, 4) && header.height == big(20, 4), "is not what IHDR says")
            try expect(contains(bytes, Array("IDAT".utf8)) && contains(bytes, Array("IEND".utf8)), "has no pixels")
        case .gif:
            try expect(header.width >= little(6) && header.height >= little(8), "is smaller than its screen")
            try expect(bytes.contains(0x3B), "has no trailer")
        case .jpeg:
            let size = [header.height >> 8, header.height & 255, header.width >> 8, header.width & 255]
            try expect(contains(bytes, size.map { UInt8($0) }), "says its size nowhere")
        case .webP:
            try expect(big(7, 1) < 128 && bytes.count >= 20, "is too short")
        }
    }

    private static func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
        bytes.indices.contains { bytes[$0...].starts(with: part) }
    }

    /// A picture made for the occasion, at or around the limits.
    private static func judgeMade(_ bytes: [UInt8]) throws {
        var chooser = Chooser(bytes)
        func side() -> Int { chooser.below(4) == 0 ? chooser.within(8190...8194) : chooser.within(1...6000) }
        let (width, height, frames) = (side(), side(), chooser.within(1...101))
        let isAllowed = width <= 8192 && height <= 8192 && width * height <= 25_000_000
        for (format, picture) in [
            (PictureFormat.png, PictureMaker.png(width, height, frames: frames)),
            (.gif, PictureMaker.gif(width, height, frames: frames)),
            (.jpeg, PictureMaker.jpeg(width, height)), (.webP, PictureMaker.webP(width, height)),
        ] {
            let isAnimated = format == .png || format == .gif
            let header = try measured(picture)
            if isAllowed, !isAnimated || frames <= 100 {
                try expect(
                    header?.format == format && header?.width == width && header?.height == height
                        && header?.frames == (isAnimated ? frames : 1),
                    "a picture is read as another: \(format), \(width) × \(height), \(frames) frames, as \(String(describing: header))"
                )
            } else {
                try expect(
                    header == nil,
                    "a picture beyond the limits is let in: \(format), \(width) × \(height), \(frames) frames"
                )
            }
        }
    }
}

/// The smallest files that say how large they are.
enum PictureMaker {
    private static func big(_ value: Int, _ count: Int) -> [UInt8] {
        (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    private static func little(_ value: Int, _ count: Int) -> [UInt8] { big(value, count).reversed() }

    private static func chunk(_ type: String, _ body: [UInt8]) -> [UInt8] {
        big(body.count, 4) + type.utf8 + body + [0, 0, 0, 0]
    }

    static func png(_ width: Int, _ height: Int, frames: Int) -> [UInt8] {
        [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
            + chunk("IHDR", big(width, 4) + big(height, 4) + [8, 2, 0, 0, 0])
            + chunk("acTL", big(frames, 4) + big(0, 4))
            + (0..<frames).flatMap { _ in chunk("fcTL", [UInt8](repeating: 0, count: 26)) }
            + chunk("IDAT", [0]) + chunk("IEND", [])
    }

    static func gif(_ width: Int, _ height: Int, frames: Int) -> [UInt8] {
        let frame = [0x2C] + little(0, 4) + little(width, 2) + little(height, 2) + [0, 2, 1, 0, 0]
        return "GIF89a".utf8 + little(width, 2) + little(height, 2) + [0, 0, 0] + (0..<frames).flatMap { _ in frame }
            + [0x3B]
    }

    static func jpeg(_ width: Int, _ height: Int) -> [UInt8] {
        [0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 0, 0, 0xFF, 0xC2, 0, 8, 8] + big(height, 2) + big(width, 2) + [1, 0xFF, 0xD9]
    }

    static func webP(_ width: Int, _ height: Int) -> [UInt8] {
        let extended: [UInt8] =
            "VP8X".utf8 + little(10, 4) + [0, 0, 0, 0] + little(width - 1, 3) + little(height - 1, 3)
        let pixels: [UInt8] = "VP8L".utf8 + little(5, 4) + [0x2F] + little((width - 1) | (height - 1) << 14, 4) + [0]
        return "RIFF".utf8 + little(4 + extended.count + pixels.count, 4) + "WEBP".utf8 + extended + pixels
    }
}
