/// Small pictures, byte by byte, and files that pretend to be pictures.
enum Pictures {
    static func big(_ value: Int, _ count: Int) -> [UInt8] {
        (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    static func little(_ value: Int, _ count: Int) -> [UInt8] { big(value, count).reversed() }

    static func chunk(_ type: String, _ body: [UInt8]) -> [UInt8] {
        big(body.count, 4) + Array(type.utf8) + body + [0, 0, 0, 0]
    }

    static func png(_ width: Int = 1, _ height: Int = 1, between: [UInt8] = []) -> [UInt8] {
        [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
            + chunk("IHDR", big(width, 4) + big(height, 4) + [8, 2, 0, 0, 0])
            + between + chunk("IDAT", [1, 2, 3]) + chunk("IEND", [])
    }

    static func apng(frames: Int, announced: Int) -> [UInt8] {
        let frame = chunk("fcTL", [UInt8](repeating: 0, count: 26)) + chunk("fdAT", [0, 0, 0, 1])
        return png(between: chunk("acTL", big(announced, 4) + big(0, 4)) + (0..<frames).flatMap { _ in frame })
    }

    static func jpeg(_ width: Int = 1, _ height: Int = 1, marker: UInt8 = 0xC0) -> [UInt8] {
        let application: [UInt8] = [0xFF, 0xE0] + big(16, 2) + [UInt8](repeating: 0x4A, count: 14)
        let frame: [UInt8] = [0xFF, 0xFF, marker] + big(11, 2) + [8] + big(height, 2) + big(width, 2) + [1, 0x11, 0]
        return [0xFF, 0xD8] + application + frame + [0xFF, 0xDA, 0, 2, 1, 2, 3, 0xFF, 0xD9]
    }

    static func gif(_ width: Int = 1, _ height: Int = 1, frames: Int = 1, frameWidth: Int? = nil) -> [UInt8] {
        let control: [UInt8] = [0x21, 0xF9, 4, 0, 0, 0, 0, 0]
        let image: [UInt8] =
            [0x2C] + little(0, 4) + little(frameWidth ?? width, 2) + little(height, 2) + [0, 2, 2, 0x4C, 1, 0]
        return Array("GIF89a".utf8) + little(width, 2) + little(height, 2) + [0x80, 0, 0] + [0, 0, 0, 1, 1, 1]
            + (0..<frames).flatMap { _ in control + image } + [0x3B]
    }

    static func webPChunk(_ type: String, _ body: [UInt8]) -> [UInt8] {
        Array(type.utf8) + little(body.count, 4) + body + (body.count % 2 == 1 ? [0] : [])
    }

    static func webP(_ chunks: [UInt8]) -> [UInt8] {
        Array("RIFF".utf8) + little(chunks.count + 4, 4) + Array("WEBP".utf8) + chunks
    }

    static func vp8(_ width: Int, _ height: Int) -> [UInt8] {
        webPChunk("VP8 ", [0x10, 0, 0, 0x9D, 0x01, 0x2A] + little(width, 2) + little(height, 2) + [0])
    }

    static func vp8l(_ width: Int, _ height: Int) -> [UInt8] {
        webPChunk("VP8L", [0x2F] + little((width - 1) | (height - 1) << 14, 4))
    }

    static func vp8x(_ width: Int, _ height: Int) -> [UInt8] {
        webPChunk("VP8X", [0x12, 0, 0, 0] + little(width - 1, 3) + little(height - 1, 3))
    }

    static func animation(_ width: Int, _ height: Int, frames: Int) -> [UInt8] {
        let frame = webPChunk(
            "ANMF",
            little(0, 6) + little(width - 1, 3) + little(height - 1, 3) + little(100, 4) + vp8l(width, height)
        )
        return webP(vp8x(width, height) + webPChunk("ANIM", little(0, 6)) + (0..<frames).flatMap { _ in frame })
    }

    /// One good file of each kind.
    static let good: [[UInt8]] = [
        png(), jpeg(), gif(), webP(vp8(1, 1)), webP(vp8l(1, 1)), webP(vp8x(1, 1) + vp8(1, 1)),
        animation(4, 4, frames: 2), apng(frames: 2, announced: 2),
    ]
}
