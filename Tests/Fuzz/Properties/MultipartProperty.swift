@testable import OrganizationService

/// `multipart/form-data`: the fields of a form, written out again, are the same fields; bodies are bytes of the input.
enum MultipartProperty {
    static func judge(_ bytes: UnsafeRawBufferPointer) throws {
        let text = String(decoding: bytes, as: UTF8.self)
        try judgeHeader(text)
        if let boundary = MultipartForm.boundary(ofContentType: text) {
            try expect((1...70).contains(boundary.utf8.count), "a boundary too long: \(boundary)")
            let again = MultipartForm.boundary(ofContentType: "multipart/form-data; boundary=\"\(boundary)\"")
            try expect(again == boundary, "a boundary does not come back: \(boundary)")
        }
        let bytes = Array(bytes)
        guard let form = try parsed(bytes) else { return }
        try expect(form.fields.count <= MultipartForm.maximumFields, "too many fields: \(form.fields.count)")
        var end = 0
        for field in form.fields {
            try expect(field.body.startIndex >= end && field.body.endIndex <= bytes.count, "bodies overlap")
            end = field.body.endIndex
            try expect(field.body.elementsEqual(bytes[field.body.indices]), "a body is not what was sent")
        }
        guard let again = try parsed(written(form)) else { throw Violation("cannot read the form written again") }
        try expect(again.fields.count == form.fields.count, "another number of fields")
        for (one, other) in zip(form.fields, again.fields) {
            try expect(
                one.name.utf8.elementsEqual(other.name.utf8) && one.fileName == other.fileName
                    && one.mediaType == other.mediaType && one.body.elementsEqual(other.body),
                "a field is another one after it was written"
            )
        }
    }

    private static func parsed(_ bytes: [UInt8]) throws -> MultipartForm? {
        do {
            return try MultipartForm(bytes, boundary: "b")
        } catch let error as MultipartError {
            try expect(!error.detail.isEmpty, "refused without a word")
            return nil
        }
    }

    private static func judgeHeader(_ text: String) throws {
        guard let (value, parameters) = HeaderParameters.parse(text) else { return }
        let written = value + parameters.map { "; \($0.name)=\(quoted($0.value))" }.joined()
        guard let (again, others) = HeaderParameters.parse(written) else {
            throw Violation("cannot read its own writing: \(written.debugDescription)")
        }
        try expect(
            again == value && others.map(\.name) == parameters.map(\.name)
                && others.map(\.value) == parameters.map(\.value),
            "reads its own writing differently: \(written.debugDescription)"
        )
    }

    private static func written(_ form: MultipartForm) -> [UInt8] {
        var bytes: [UInt8] = []
        for field in form.fields {
            bytes += "--b\r\nContent-Disposition: form-data; name=\(quoted(field.name))".utf8
            if let name = field.fileName { bytes += "; filename=\(quoted(name))".utf8 }
            if let type = field.mediaType { bytes += "\r\nContent-Type:\(type)".utf8 }
            bytes += "\r\n\r\n".utf8
            bytes += field.body
            bytes += "\r\n".utf8
        }
        return bytes + "--b--\r\n".utf8
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            if scalar == "\"" || scalar == "\\" { quoted.unicodeScalars.append("\\") }
            quoted.unicodeScalars.append(scalar)
        }
        quoted.unicodeScalars.append("\"")
        return quoted
    }
}
