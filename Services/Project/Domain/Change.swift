import Events

/// What a rule makes of a stored value: the value to keep, and what to tell the other services.
struct Change<Value: Sendable>: Sendable {
    /// As it is to be stored and answered.
    let value: Value
    /// Published in the same transaction.
    let events: [any Event]
    /// False: nothing is written, nobody is told.
    let isChanged: Bool

    /// A value to be stored.
    static func changed(_ value: Value, _ events: any Event...) -> Change {
        Change(value: value, events: events, isChanged: true)
    }

    /// The value as it was.
    static func unchanged(_ value: Value) -> Change { Change(value: value, events: [], isChanged: false) }
}
