import Chronology
import Failures
import Identity
import ServiceKit

/// Reads the bodies of tasks. What is wrong with the form is handed on, so that the rules can add theirs to it.
enum TaskBody {
    private static let titleLength = 255
    private static let descriptionLength = 100_000
    private static let mostCollaborators = 1000

    /// What an answer shows and nobody sets.
    private static let readOnlyNames = [
        "id", "key", "project", "completed_date", "collaborators", "created_by", "updated_by", "created_at",
        "updated_at", "version", "subtasks",
    ]

    /// A new task; `project` and `parent` are what the path says, and the body may repeat.
    static func draft(_ body: JSON, project: ProjectID?, parent: TaskID?) -> ReadFields<TaskDraft> {
        var fields = BodyFields(body)
        var draft = TaskDraft()
        fields.require("title")
        draft.title = fields.text("title", maximumLength: titleLength, allowsBlank: false)
        draft.description = fields.text("description", maximumLength: descriptionLength)
        draft.priority = fields.choice("priority", TaskPriority.self)
        draft.status = fields.choice("status", TaskStatus.self)
        draft.start = edit(fields.date("start_date"))
        draft.due = edit(fields.date("due_date"))
        draft.collaborators = fields.texts("collaborators", maximumCount: mostCollaborators, maximumLength: 254)
        draft.alsoCollaborator = fields.bool("also_collaborator")
        if let project {
            fields.readOnly("project", equals: .integer(project.number))
        } else {
            fields.require("project")
            _ = fields.integer("project", in: 1...Int64.max)
        }
        if let parent {
            fields.readOnly("parent_task", equals: .integer(parent.number))
        } else {
            _ = fields.nullableInteger("parent_task", in: 1...Int64.max)
        }
        return finish(&fields, draft)
    }

    /// A merge patch.
    static func patch(_ body: JSON, shown: JSON) -> ReadFields<TaskEdit> {
        var fields = BodyFields(body)
        let edit = common(&fields, shown: shown)
        return finish(&fields, edit)
    }

    /// A replacement: what is absent takes its default, but status, parent and start stay.
    static func replacement(_ body: JSON, shown: JSON) -> ReadFields<TaskEdit> {
        var fields = BodyFields(body)
        fields.require("title")
        var edit = common(&fields, shown: shown)
        if !fields.has("description") { edit.description = "" }
        if !fields.has("priority") { edit.priority = .medium }
        if !fields.has("due_date") { edit.due = .clear }
        return finish(&fields, edit)
    }

    /// Whether a body has members that must equal what is shown.
    static func hasReadOnly(_ body: JSON) -> Bool { readOnlyNames.contains { body[$0] != nil } }

    /// The texts among the collaborators named, in order; whatever else is there fails later.
    static func people(_ body: JSON) -> [String] {
        (body["collaborators"]?.elements ?? []).prefix(mostCollaborators).compactMap(\.text)
    }

    private static func common(_ fields: inout BodyFields, shown: JSON) -> TaskEdit {
        var edit = TaskEdit()
        edit.title = fields.text("title", maximumLength: titleLength, allowsBlank: false)
        edit.description = fields.text("description", maximumLength: descriptionLength)
        edit.priority = fields.choice("priority", TaskPriority.self)
        edit.status = fields.choice("status", TaskStatus.self)
        edit.start = self.edit(fields.date("start_date"))
        edit.due = self.edit(fields.date("due_date"))
        switch fields.nullableInteger("parent_task", in: 1...Int64.max) {
        case .absent: break
        case .null: edit.parent = .clear
        case .value(let number): edit.parent = .set(TaskID(number))
        }
        for name in readOnlyNames { fields.readOnly(name, equals: shown[name] ?? .null) }
        return edit
    }

    private static func edit(_ change: FieldChange<CivilDateOrMoment>) -> FieldEdit<TaskDate> {
        switch change {
        case .absent: .keep
        case .null: .clear
        case .value(.day(let day)): .set(.day(day))
        case .value(.moment(let moment)): .set(.moment(moment))
        }
    }

    private static func finish<Value>(_ fields: inout BodyFields, _ value: Value) -> ReadFields<Value> {
        do {
            try fields.finish()
            return ReadFields(value: value, failures: [])
        } catch let failure as Failure {
            return ReadFields(value: value, failures: failure.fields)
        } catch {
            return ReadFields(value: value, failures: [FieldFailure(pointer: "", "unreadable", "Cannot be read.")])
        }
    }
}
