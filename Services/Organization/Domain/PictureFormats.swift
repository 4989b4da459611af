// How the four formats say how large they are. Each walks over the blocks of its file by their lengths and looks into
// none but those that hold a size; text, profiles and pixels are stepped over.

extension ByteReader {
    /// ISO/IEC 10918-1: segments up to the first frame header.
    mutating func measureJPEG(_ measure: inout PictureMeasure) throws {
        try skip(2)
        while true {
            guard try byte() == 0xFF else { throw BadPicture.damaged }
            var marker = try byte()
            while marker == 0xFF { marker = try byte() }
            switch marker {
            case 0x01, 0xD0...0xD7:
                continue
            case 0xC0...0xC3, 0xC5...0xC7, 0xC9...0xCB, 0xCD...0xCF:
                guard try big(2) >= 8 else { throw BadPicture.damaged }
                try skip(1)
                let height = try big(2)
                let width = try big(2)
                // A height of 0 promises to tell it after the first scan.
                guard width > 0, height > 0 else { throw BadPicture.damaged }
                return try measure.see(width: width, height: height)
            case 0x00, 0xD8, 0xD9, 0xDA:
                // Pixels or the end before any size.
                throw BadPicture.damaged
            default:
                try skip(try big(2) - 2)
            }
        }
    }

    /// W3C PNG, with APNG: all chunks to the end.
    mutating func measurePNG(_ measure: inout PictureMeasure) throws {
        try skip(8)
        guard try big(4) == 13, try take(4).elementsEqual("IHDR".utf8) else { throw BadPicture.damaged }
        let width = try big(4)
        let height = try big(4)
        guard width > 0, height > 0 else { throw BadPicture.damaged }
        try measure.see(width: width, height: height)
        try skip(5 + 4)
        var hasPixels = false
        while true {
            let length = try big(4)
            let type = String(decoding: try take(4), as: UTF8.self)
            switch type {
            case "IHDR":
                throw BadPicture.damaged
            case "IDAT":
                hasPixels = true
            case "acTL":
                guard length == 8 else { throw BadPicture.damaged }
                try measure.see(frames: try big(4))
                try skip(4 + 4)
                continue
            case "fcTL":
                try measure.seeFrame()
            case "IEND":
                guard hasPixels else { throw BadPicture.damaged }
                return
            default:
                break
            }
            try skip(length)
            try skip(4)
        }
    }

    /// GIF87a and GIF89a: all blocks to the trailer.
    mutating func measureGIF(_ measure: inout PictureMeasure) throws {
        try skip(6)
        try measure.see(width: try little(2), height: try little(2))
        let flags = try byte()
        try skip(2)
        try skipColors(flags)
        while true {
            switch try byte() {
            case 0x21:
                try skip(1)
                try skipSubBlocks()
            case 0x2C:
                try measure.seeFrame()
                let left = try little(2)
                let top = try little(2)
                // A frame may stand out over the canvas; decoders then enlarge it.
                try measure.see(width: left + little(2), height: top + little(2))
                try skipColors(try byte())
                try skip(1)
                try skipSubBlocks()
            case 0x3B:
                guard measure.frames > 0 else { throw BadPicture.damaged }
                return
            default:
                throw BadPicture.damaged
            }
        }
    }

    private mutating func skipColors(_ flags: UInt8) throws {
        if flags & 0x80 != 0 { try skip(3 << (Int(flags & 7) + 1)) }
    }

    private mutating func skipSubBlocks() throws {
        while true {
            let length = Int(try byte())
            if length == 0 { return }
            try skip(length)
        }
    }

    /// RFC 9649: the chunks of the container, and the size in every bitstream.
    mutating func measureWebP(_ measure: inout PictureMeasure) throws {
        try skip(4)
        // The length counts from the form type on; what comes after it belongs to no picture.
        guard try little(4) <= remaining else { throw BadPicture.damaged }
        try skip(4)
        var hasPixels = false
        while remaining >= 8 {
            let type = String(decoding: try take(4), as: UTF8.self)
            let length = try little(4)
            guard length <= remaining else { throw BadPicture.damaged }
            let end = offset + length
            switch type {
            case "VP8X":
                try skip(4)
                try measure.see(width: try little(3) + 1, height: try little(3) + 1)
            case "ANMF":
                try measure.seeFrame()
                let left = try little(3) * 2
                let top = try little(3) * 2
                try measure.see(width: left + little(3) + 1, height: top + little(3) + 1)
                try skip(4)
                try measureFrameChunks(until: end, &measure)
                hasPixels = true
            case "VP8 ", "VP8L":
                try measureBitstream(type, &measure)
                hasPixels = true
            default:
                break
            }
            // Inside a chunk nothing may read beyond it; chunks are padded to even lengths.
            guard offset <= end else { throw BadPicture.damaged }
            try skip(end - offset)
            if length % 2 == 1, remaining > 0 { try skip(1) }
        }
        guard hasPixels else { throw BadPicture.damaged }
    }

    private mutating func measureFrameChunks(until end: Int, _ measure: inout PictureMeasure) throws {
        while end - offset >= 8 {
            let type = String(decoding: try take(4), as: UTF8.self)
            let length = try little(4)
            let start = offset
            guard length <= end - start else { throw BadPicture.damaged }
            if type == "VP8 " || type == "VP8L" { try measureBitstream(type, &measure) }
            guard offset <= start + length else { throw BadPicture.damaged }
            try skip(start + length - offset)
            if length % 2 == 1, offset < end { try skip(1) }
        }
    }

    private mutating func measureBitstream(_ type: String, _ measure: inout PictureMeasure) throws {
        if type == "VP8L" {
            guard try byte() == 0x2F else { throw BadPicture.damaged }
            let bits = try little(4)
            return try measure.see(width: (bits & 0x3FFF) + 1, height: (bits >> 14 & 0x3FFF) + 1)
        }
        // RFC 6386, section 9.1: a key frame with its start code, then 14 bits of each side.
        guard try byte() & 1 == 0 else { throw BadPicture.damaged }
        try skip(2)
        guard try take(3).elementsEqual([0x9D, 0x01, 0x2A]) else { throw BadPicture.damaged }
        let width = try little(2) & 0x3FFF
        let height = try little(2) & 0x3FFF
        guard width > 0, height > 0 else { throw BadPicture.damaged }
        try measure.see(width: width, height: height)
    }
}
