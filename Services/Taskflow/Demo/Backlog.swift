import Foundation

/// A project's backlog from a CSV file with the columns `issuekey,title,description,storypoint`.
struct Backlog: Sendable {
    /// The file's name without its ending; names the project.
    let name: String
    /// Letters before the dash of the first issue's key, if they make a project key.
    let key: String?
    /// In the file's order.
    let issues: [Issue]

    struct Issue: Sendable {
        /// The record's number in the file, the header being 1.
        let record: Int
        let title: String
        let description: String
        let storyPoints: Double?
    }

    /// Reads every `*.csv` of a folder, by name.
    static func all(in folder: String) throws -> [Backlog] {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch {
            throw StartError("\(folder) cannot be read: give a folder with .csv files to --backlogs")
        }
        let files = names.filter { $0.lowercased().hasSuffix(".csv") }.sorted()
        guard !files.isEmpty else { throw StartError("\(folder) holds no .csv file") }
        return try files.map { try Backlog(file: "\(folder)/\($0)", name: String($0.dropLast(4))) }
    }

    private init(file: String, name: String) throws {
        guard let data = FileManager.default.contents(atPath: file) else {
            throw StartError("\(file) cannot be read")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw StartError("\(file) is not UTF-8: convert it, for instance with iconv")
        }
        let records: [[String]]
        do {
            records = try CSV.records(of: text)
        } catch let error as CSV.Malformed {
            throw StartError("\(file): record \(error.record): \(error.reason)")
        }
        guard
            let header = records.first?.map({ $0.lowercased() }),
            let title = header.firstIndex(of: "title"), let description = header.firstIndex(of: "description")
        else {
            throw StartError("\(file): the first line must name the columns issuekey,title,description,storypoint")
        }
        let points = header.firstIndex(of: "storypoint")
        self.name = name
        issues = try records.dropFirst().enumerated().map { index, fields in
            guard fields.count == header.count else {
                throw StartError(
                    "\(file): record \(index + 2) has \(fields.count) fields where the first line has \(header.count)"
                )
            }
            return Issue(
                record: index + 2,
                title: fields[title],
                description: fields[description],
                storyPoints: points.flatMap { Double(fields[$0]) }
            )
        }
        let prefix = header.firstIndex(of: "issuekey").flatMap { column in
            records.dropFirst().first.flatMap { $0[column].split(separator: "-").first }
        }
        key = prefix.map(String.init).flatMap { candidate in
            let bytes = Array(candidate.utf8)
            guard
                (2...10).contains(bytes.count), (0x41...0x5A).contains(bytes[0]),
                bytes.allSatisfy({ (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) })
            else { return nil }
            return candidate
        }
    }
}

/// Comma-separated values as in RFC 4180: quoted fields keep line breaks, commas and doubled quotes; records end at
/// CRLF, LF or CR outside quotes; a byte order mark is passed over.
enum CSV {
    /// Why a text is not CSV.
    struct Malformed: Error {
        /// The record's number, 1 and up.
        let record: Int
        let reason: String
    }

    /// All records. An empty line is no record.
    static func records(of text: String) throws -> [[String]] {
        // Bytes, because Swift would take CR LF for one character and must not touch what is inside quotes.
        var bytes = Array(text.utf8)[...]
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes = bytes.dropFirst(3) }
        let (quote, comma, cr, lf): (UInt8, UInt8, UInt8, UInt8) = (0x22, 0x2C, 0x0D, 0x0A)
        var records: [[String]] = []
        var record: [String] = []
        var field: [UInt8] = []
        var wasQuoted = false
        var index = bytes.startIndex

        func endField() {
            record.append(String(decoding: field, as: UTF8.self))
            field.removeAll(keepingCapacity: true)
            wasQuoted = false
        }
        func endRecord() {
            if record.isEmpty && field.isEmpty && !wasQuoted { return }
            endField()
            records.append(record)
            record = []
        }
        while index < bytes.endIndex {
            let byte = bytes[index]
            index += 1
            switch byte {
            case quote where field.isEmpty && !wasQuoted:
                wasQuoted = true
                var isClosed = false
                while index < bytes.endIndex {
                    let inner = bytes[index]
                    index += 1
                    if inner != quote {
                        field.append(inner)
                    } else if index < bytes.endIndex, bytes[index] == quote {
                        field.append(quote)
                        index += 1
                    } else {
                        isClosed = true
                        break
                    }
                }
                guard isClosed else { throw Malformed(record: records.count + 1, reason: "a quote is not closed") }
            case comma: endField()
            case lf: endRecord()
            case cr:
                if index < bytes.endIndex, bytes[index] == lf { index += 1 }
                endRecord()
            default: field.append(byte)
            }
        }
        endRecord()
        return records
    }
}
