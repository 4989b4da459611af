import Failures
import Testing

@testable import OrganizationService

@Suite struct PictureHeaderTests {
    @Test func tellsWhatAPictureIs() throws {
        func header(_ bytes: [UInt8]) throws -> [Int] {
            let header = try PictureHeader(bytes)
            return [header.width, header.height, header.frames]
        }
        #expect(try header(Pictures.png(640, 480)) == [640, 480, 1])
        #expect(try header(Pictures.apng(frames: 3, announced: 3)) == [1, 1, 3])
        #expect(try header(Pictures.jpeg(640, 480)) == [640, 480, 1])
        #expect(try header(Pictures.jpeg(640, 480, marker: 0xC2)) == [640, 480, 1])
        #expect(try header(Pictures.gif(640, 480, frames: 7)) == [640, 480, 7])
        #expect(try header(Pictures.webP(Pictures.vp8(640, 480))) == [640, 480, 1])
        #expect(try header(Pictures.webP(Pictures.vp8l(640, 480))) == [640, 480, 1])
        #expect(try header(Pictures.animation(640, 480, frames: 5)) == [640, 480, 5])
        // What follows the end of the picture proper is no concern of anybody who shows it.
        #expect(try header(Pictures.jpeg() + [1, 2, 3]) == [1, 1, 1])
        // Text is stepped over.
        #expect(try header(Pictures.png(between: Pictures.chunk("tEXt", Array("Title\0x".utf8)))) == [1, 1, 1])
    }

    @Test(arguments: [
        Pictures.png(8193, 1), Pictures.png(1, 8193), Pictures.png(5001, 5000), Pictures.png(0, 1),
        Pictures.png(0xFFFF_FFFF, 0xFFFF_FFFF), Pictures.jpeg(8193, 1), Pictures.jpeg(65_535, 65_535),
        Pictures.jpeg(1, 0), Pictures.gif(8193, 1), Pictures.gif(10, 10, frameWidth: 9000), Pictures.gif(0, 0),
        Pictures.webP(Pictures.vp8(8193, 8193)), Pictures.webP(Pictures.vp8l(16_384, 16_384)),
        // The container says little, the pixels say much.
        Pictures.webP(Pictures.vp8x(10, 10) + Pictures.vp8(8193, 10)),
        Pictures.webP(Pictures.vp8x(0xFFFFFF, 0xFFFFFF) + Pictures.vp8(1, 1)),
    ])
    func refusesTooManyPixels(_ bytes: [UInt8]) {
        #expect(throws: BadPicture.self) { try PictureHeader(bytes) }
    }

    @Test func allowsTheLimits() throws {
        #expect(try PictureHeader(Pictures.png(8192, 3051)).width == 8192)
        #expect(try PictureHeader(Pictures.png(5000, 5000)).height == 5000)
        #expect(try PictureHeader(Pictures.gif(frames: 100)).frames == 100)
        #expect(try PictureHeader(Pictures.apng(frames: 100, announced: 100)).frames == 100)
        #expect(try PictureHeader(Pictures.animation(2, 2, frames: 100)).frames == 100)
    }

    @Test(arguments: [
        Pictures.gif(frames: 101), Pictures.animation(2, 2, frames: 101), Pictures.apng(frames: 1, announced: 101),
        Pictures.apng(frames: 101, announced: 1),
    ])
    func refusesTooManyFrames(_ bytes: [UInt8]) {
        #expect(throws: BadPicture("May have at most 100 frames.")) { try PictureHeader(bytes) }
    }

    @Test(arguments: [
        "", "<svg xmlns='http://www.w3.org/2000/svg'/>", "<html>", "%PDF-1.7", "PK\u{3}\u{4}", "GIF88a", "RIFF1234WAVE",
    ])
    func refusesOtherFiles(_ text: String) {
        #expect(throws: BadPicture("Must be a JPEG, PNG, WebP or GIF picture.")) {
            try PictureHeader(Array(text.utf8))
        }
    }

    /// A file cut off anywhere before its size is known is damaged; nothing is ever read beyond the end.
    @Test func survivesEveryPrefix() {
        for bytes in Pictures.good {
            #expect(throws: Never.self) { try PictureHeader(bytes) }
            for length in 0..<bytes.count { _ = try? PictureHeader(Array(bytes.prefix(length))) }
            #expect(throws: BadPicture.self) { try PictureHeader(Array(bytes.prefix(bytes.count / 3))) }
        }
    }

    @Test func survivesEveryByteBeingAnother() {
        for bytes in Pictures.good {
            for index in bytes.indices {
                for value: UInt8 in [0, 1, 0x7F, 0x80, 0xFF, bytes[index] ^ 1] {
                    var broken = bytes
                    broken[index] = value
                    guard let header = try? PictureHeader(broken) else { continue }
                    #expect(header.width * header.height <= PictureHeader.maximumArea && header.frames <= 100)
                }
            }
        }
    }

    @Test func refusesContradictions() {
        let second = Pictures.chunk("IHDR", [UInt8](repeating: 1, count: 13))
        #expect(throws: BadPicture.damaged) { try PictureHeader(Pictures.png(between: second)) }
        // A chunk as long as a chunk can be said to be.
        let huge = Pictures.big(0xFFFF_FFFF, 4) + Array("tEXt".utf8)
        #expect(throws: BadPicture.damaged) { try PictureHeader(Pictures.png(between: huge)) }
        // A GIF without a frame, a WebP without pixels.
        #expect(throws: BadPicture.damaged) { try PictureHeader(Pictures.gif(frames: 0)) }
        #expect(throws: BadPicture.damaged) { try PictureHeader(Pictures.webP(Pictures.vp8x(1, 1))) }
    }

    @Test func nameAndTypeMustFit() {
        let format = PictureFormat.jpeg
        #expect(format.agrees(fileName: "me.JPG", mediaType: "image/jpeg"))
        #expect(format.agrees(fileName: "me.jpeg", mediaType: "Image/JPEG; charset=binary"))
        #expect(format.agrees(fileName: "blob", mediaType: nil))
        #expect(format.agrees(fileName: "me.jpg", mediaType: "application/octet-stream"))
        #expect(!format.agrees(fileName: "me.png", mediaType: "image/jpeg"))
        #expect(!format.agrees(fileName: "me.jpg", mediaType: "image/png"))
        #expect(!format.agrees(fileName: "me.jpg.html", mediaType: "image/jpeg"))
        #expect(!format.agrees(fileName: "me.jpg", mediaType: "text/html"))
        #expect(!format.agrees(fileName: "me.", mediaType: "image/jpeg"))
    }

    @Test func theFileMayHaveFiveMebibytes() throws {
        var upload = PictureUpload(fileName: "a.png", mediaType: "image/png", bytes: Pictures.png())
        upload.bytes += [UInt8](repeating: 0, count: PictureUpload.maximumSize - upload.bytes.count)
        #expect(try upload.check(pointer: "/profile_img") == .png)
        upload.bytes.append(0)
        #expect(throws: Failure.invalid("/profile_img", "too-large", "May have at most 5 MiB.")) {
            try upload.check(pointer: "/profile_img")
        }
    }
}
