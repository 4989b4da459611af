import Chronology
import Identity
import Messaging
import Postgres

/// A task with what is shown of it beside its own row.
struct ShownTask: Sendable {
    var item: TaskItem
    var collaborators: [TaskCollaborator]

    /// Adds everyone whose name is shown.
    func addPeople(to users: inout Set<UserID>) {
        users.insert(item.createdBy)
        users.insert(item.updatedBy)
        for collaborator in collaborators { collaborator.addPeople(to: &users) }
    }
}

extension Sequence<ShownTask> {
    /// Everyone whose name is shown.
    var people: Set<UserID> { reduce(into: []) { $1.addPeople(to: &$0) } }
}

/// Someone who collaborates on a task.
struct TaskCollaborator: Sendable {
    var user: UserID
    var addedAt: Timestamp
    var addedBy: UserID

    /// Adds everyone whose name is shown.
    func addPeople(to users: inout Set<UserID>) {
        users.insert(user)
        users.insert(addedBy)
    }
}

extension Sequence<TaskCollaborator> {
    /// Everyone whose name is shown.
    var people: Set<UserID> { reduce(into: []) { $1.addPeople(to: &$0) } }
}

/// Writes the JSON of answers, into bytes and without a tree of values: a page has a thousand of them.
struct TaskJSON {
    let people: People
    /// What the version shown adds to the version kept.
    let peopleEpoch: Int64

    /// A task as in lists.
    func row(_ task: ShownTask, trash: Bool = false) -> [UInt8] {
        var json = begin(task)
        append(task, to: &json)
        if trash { append("deleted_at", task.item.deletedAt, to: &json) }
        json.append(UInt8(ascii: "}"))
        return json
    }

    /// A single task with its subtasks.
    func single(_ task: ShownTask, subtasks: [ShownTask]) -> [UInt8] {
        var json = begin(task)
        append(task, to: &json)
        json.append(ascii: #","subtasks":["#)
        for (index, subtask) in subtasks.enumerated() {
            if index > 0 { json.append(UInt8(ascii: ",")) }
            append(subtask, to: &json)
            json.append(UInt8(ascii: "}"))
        }
        json.append(ascii: "]}")
        return json
    }

    /// A collaborator of a task.
    func collaborator(_ collaborator: TaskCollaborator) -> [UInt8] {
        var json: [UInt8] = []
        append(collaborator, to: &json)
        return json
    }

    /// A person inside other objects.
    static func person(_ user: UserID, email: String, name: String, picture: String?) -> [UInt8] {
        var json = Array(#"{"id":""#.utf8)
        json.append(contentsOf: user.description.utf8)
        json.append(ascii: #"","email":"#)
        json.append(jsonString: email)
        json.append(ascii: #","name":"#)
        json.append(jsonString: name)
        json.append(ascii: #","profile_img":"#)
        if let picture { json.append(jsonString: picture) } else { json.append(ascii: "null") }
        json.append(UInt8(ascii: "}"))
        return json
    }

    /// A moment as the API writes it, in SQL.
    static func moment(_ column: String) -> SQL {
        SQL(unsafe: #"to_char(\#(column) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#)
    }

    private func begin(_ task: ShownTask) -> [UInt8] {
        var json: [UInt8] = []
        json.reserveCapacity(
            700 + task.item.title.utf8.count + task.item.description.utf8.count + 400 * task.collaborators.count
        )
        return json
    }

    /// The members of a row, without the brace at the end.
    private func append(_ task: ShownTask, to json: inout [UInt8]) {
        let item = task.item
        json.append(ascii: #"{"id":"#)
        append(item.id.number, to: &json)
        append("key", item.key, to: &json)
        json.append(ascii: #","project":"#)
        append(item.project.number, to: &json)
        json.append(ascii: #","parent_task":"#)
        if let parent = item.parent { append(parent.number, to: &json) } else { append(null: &json) }
        append("title", item.title, to: &json)
        append("description", item.description, to: &json)
        append("priority", item.priority.rawValue, to: &json)
        append("status", item.status.rawValue, to: &json)
        append("start_date", item.start, to: &json)
        append("due_date", item.due, to: &json)
        append("completed_date", item.completedAt, to: &json)
        json.append(ascii: #","collaborators":["#)
        for (index, collaborator) in task.collaborators.enumerated() {
            if index > 0 { json.append(UInt8(ascii: ",")) }
            append(collaborator, to: &json)
        }
        json.append(ascii: #"],"created_by":"#)
        append(item.createdBy, to: &json)
        json.append(ascii: #","updated_by":"#)
        append(item.updatedBy, to: &json)
        append("created_at", item.createdAt, to: &json)
        append("updated_at", item.updatedAt, to: &json)
        json.append(ascii: #","version":"#)
        append(item.version + peopleEpoch, to: &json)
    }

    private func append(_ collaborator: TaskCollaborator, to json: inout [UInt8]) {
        json.append(ascii: #"{"user":"#)
        append(collaborator.user, to: &json)
        append("added_at", collaborator.addedAt, to: &json)
        json.append(ascii: #","added_by":"#)
        append(collaborator.addedBy, to: &json)
        json.append(UInt8(ascii: "}"))
    }

    /// One who is not known here has only an id.
    private func append(_ user: UserID, to json: inout [UInt8]) {
        json.append(contentsOf: people[user] ?? TaskJSON.person(user, email: "", name: "", picture: nil))
    }

    // MARK: - Members

    private func name(_ name: StaticString, to json: inout [UInt8]) {
        json.append(ascii: #",""#)
        json.append(ascii: name)
        json.append(ascii: #"":"#)
    }

    private func append(_ name: StaticString, _ text: String, to json: inout [UInt8]) {
        self.name(name, to: &json)
        json.append(jsonString: text)
    }

    private func append(_ name: StaticString, _ date: TaskDate?, to json: inout [UInt8]) {
        switch date {
        case .day(let day):
            self.name(name, to: &json)
            json.append(UInt8(ascii: "\""))
            day.append(to: &json)
            json.append(UInt8(ascii: "\""))
        case .moment(let moment): append(name, moment, to: &json)
        case nil: append(name, nil as Timestamp?, to: &json)
        }
    }

    private func append(_ name: StaticString, _ moment: Timestamp?, to json: inout [UInt8]) {
        self.name(name, to: &json)
        guard let moment else { return append(null: &json) }
        json.append(UInt8(ascii: "\""))
        moment.append(to: &json)
        json.append(UInt8(ascii: "\""))
    }

    private func append(_ number: Int64, to json: inout [UInt8]) { json.append(contentsOf: String(number).utf8) }

    private func append(null json: inout [UInt8]) { json.append(ascii: "null") }
}

extension [UInt8] {
    /// Appends a piece of JSON that is written in the program; a String would be asked first how it keeps its bytes.
    fileprivate mutating func append(ascii text: StaticString) {
        text.withUTF8Buffer { append(contentsOf: $0) }
    }
}
