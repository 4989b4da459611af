import CLibPQ
import Chronology
import Foundation
import Identity

@testable import Postgres

/// Values of rows: what a column is read as is read as the same once more from its own writing, reading in place and
/// from text agree, and a row gives back the bytes that the server sent.
enum RowProperty {
    static func judge(_ bytes: UnsafeRawBufferPointer) throws {
        let bytes = Array(bytes)
        try judgeType(Int.self, bytes)
        try judgeType(Int64.self, bytes)
        try judgeType(Bool.self, bytes)
        try judgeType(UUID.self, bytes)
        try judgeType(Role.self, bytes)
        try judgeType(OrganizationID.self, bytes)
        try judgeType(TaskID.self, bytes)
        try judgeType(SQLBytes.self, bytes)
        try judgeType(CivilDate.self, bytes)
        try judgeType([String].self, bytes)
        try judgeType([Int64].self, bytes)
        try judgeType([UserID].self, bytes)
        try judgeType([SQLBytes].self, bytes)
        try judgeType([CivilDate].self, bytes)
        try judgeDouble(bytes)
        try judgeTimes(bytes)
        try judgeArrays(bytes)
        try judgeRow(bytes)
    }

    private static func inPlace<Value: SQLDecodable>(_ type: Value.Type, _ bytes: [UInt8]) -> Value? {
        withExactCopy(of: bytes) { Value(sqlBytes: $0) }
    }

    private static func judgeType<Value: SQLEncodable & SQLDecodable & Equatable>(
        _ type: Value.Type,
        _ bytes: [UInt8]
    ) throws {
        let text = String(validating: bytes, as: UTF8.self)
        if let text, let value = Value(sqlText: text) {
            // A sign or leading zeros that the server never writes are for one of the two to refuse.
            if let other = inPlace(type, bytes) {
                try expect(other == value, "text and bytes are read differently: \(type) \(text)")
            }
            try judgeWritten(value)
        }
        if let value = inPlace(type, bytes) { try judgeWritten(value) }
    }

    private static func judgeWritten<Value: SQLEncodable & SQLDecodable & Equatable>(_ value: Value) throws {
        guard let written = value.sqlParameter.text else { throw Violation("a value is written as NULL: \(value)") }
        try expect(
            inPlace(Value.self, Array(written.utf8)) == value,
            "a value does not come back: \(value), written \(written)"
        )
        try expect(Value(sqlText: written) == value, "a value does not come back: \(value), written \(written)")
    }

    private static func judgeDouble(_ bytes: [UInt8]) throws {
        guard let value = inPlace(Double.self, bytes) else { return }
        let again = value.sqlParameter.text.flatMap { Double(sqlText: $0) }
        try expect(again == value || value.isNaN && again?.isNaN == true, "a value does not come back: \(value)")
    }

    private static func judgeTimes(_ bytes: [UInt8]) throws {
        let text = String(decoding: bytes, as: UTF8.self)
        if let date = CivilDate(text) {
            try expect(date.description.utf8.elementsEqual(bytes), "a second spelling: \(text) of \(date)")
            let (year, month, day) = date.components
            try expect(CivilDate(year: year, month: month, day: day) == date, "another day in parts: \(date)")
            // The Julian day number, by the formula for Gregorian dates.
            let shift = (14 - month) / 12
            let (years, months) = (year + 4800 - shift, month + 12 * shift - 3)
            let number = day + (153 * months + 2) / 5 + 365 * years + years / 4 - years / 100 + years / 400 - 32_045
            try expect(
                date.daysSinceEpoch == number - 2_440_588,
                "another day by its number: \(date), \(date.daysSinceEpoch)"
            )
        }
        if let moment = Timestamp(text) { try judgeMoment(moment) }
        if let moment = inPlace(Timestamp.self, bytes) {
            try judgeMoment(moment)
            try expect(Timestamp(sqlText: text) == moment, "text and bytes are read differently: \(text)")
            // What Postgres writes in UTC is RFC 3339 but for the end.
            try expect(Timestamp(String(text.dropLast(3)) + "Z") == moment, "another moment elsewhere: \(text)")
        }
    }

    private static func judgeMoment(_ moment: Timestamp) throws {
        try expect(moment >= .earliest && moment <= .latest, "a moment out of range: \(moment)")
        try expect(Timestamp(moment.description) == moment, "a moment does not come back: \(moment)")
        let written = moment.description.dropLast().replacing("T", with: " ") + "+00"
        try expect(
            inPlace(Timestamp.self, Array(written.utf8)) == moment,
            "another moment in the form of Postgres: \(written)"
        )
        try expect(
            moment.description.hasPrefix(moment.civilDate(in: .gmt).description),
            "a moment on another day: \(moment)"
        )
    }

    /// Lists of texts in the form that the server writes: quotes only where they are needed.
    private static func judgeArrays(_ bytes: [UInt8]) throws {
        let texts = bytes.split(separator: 0, omittingEmptySubsequences: false).prefix(20).map {
            String(decoding: $0, as: UTF8.self)
        }
        let elements = texts.map { text -> String in
            let isPlain = text.unicodeScalars.allSatisfy {
                !"{},\"\\".unicodeScalars.contains($0) && !(9...13).contains($0.value) && $0 != " "
            }
            if isPlain, !text.isEmpty, text.lowercased() != "null" { return text }
            var quoted = "\""
            for scalar in text.unicodeScalars {
                if scalar == "\"" || scalar == "\\" { quoted.unicodeScalars.append("\\") }
                quoted.unicodeScalars.append(scalar)
            }
            quoted.unicodeScalars.append("\"")
            return quoted
        }
        var literal = ""
        for (index, element) in elements.enumerated() { literal += index == 0 ? element : "," + element }
        let read = inPlace([String].self, Array("{\(literal)}".utf8))
        try expect(
            read.map { $0.map { Array($0.utf8) } } == texts.map { Array($0.utf8) },
            "an array is read differently: {\(literal)} as \(String(describing: read))"
        )
        let last = elements.last == "NULL" ? "" : ",NULL"
        try expect(inPlace([String].self, Array("{\(literal)\(last)}".utf8)) == nil, "a NULL becomes something")
    }

    /// The bytes on their way through libpq.
    private static func judgeRow(_ bytes: [UInt8]) throws {
        guard let result = PQmakeEmptyPGresult(nil, PGRES_TUPLES_OK) else { throw Violation("no memory") }
        let box = ResultBox(result)
        let name = String(decoding: bytes.prefix { $0 != 0 }.prefix(60), as: UTF8.self)
        let names = ["a", "value", "of \(name)", "nothing"]
        // One byte more, for libpq takes a null pointer for NULL, and no bytes at all may have one.
        var room = bytes + [0]
        let copies = names.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        var attributes = copies.map { copy in
            var attribute = PGresAttDesc()
            attribute.name = copy
            return attribute
        }
        try expect(PQsetResultAttrs(result, Int32(names.count), &attributes) == 1, "no columns")
        for column in 0..<3 {
            let isSet = room.withUnsafeMutableBytes { room in
                let start = room.baseAddress?.assumingMemoryBound(to: CChar.self)
                return PQsetvalue(result, 0, Int32(column), start, Int32(bytes.count))
            }
            try expect(isSet == 1, "no value")
        }
        try expect(PQsetvalue(result, 0, 3, nil, -1) == 1, "no value")
        let rows = Rows(box)
        try expect(rows.count == 1, "another number of rows: \(rows.count)")
        for row in rows {
            for name in names.prefix(3) {
                try expect(try row.bytes(name) == bytes, "a column has other bytes: \(name)")
                try expect(try !row.isNull(name), "a column is NULL: \(name)")
            }
            try expect(try row.isNull("nothing") && row.bytes("nothing").isEmpty, "NULL is not NULL")
            try expect(try row.get("nothing", as: Int64?.self) == nil, "NULL is a number")
            try expect((try? row.isNull("valu")) == nil && (try? row.isNull("values")) == nil, "a column too many")
            try expect((try? row.get("value", as: Int64.self)) == inPlace(Int64.self, bytes), "another number")
            try expect((try? row.get("value", as: UUID.self)) == inPlace(UUID.self, bytes), "another UUID")
            try expect((try? row.get("value", as: Timestamp.self)) == inPlace(Timestamp.self, bytes), "another moment")
            let text = String(decoding: bytes, as: UTF8.self)
            try expect(try row.get("value", as: String.self).utf8.elementsEqual(text.utf8), "another text")
        }
    }
}
