public import Events

/// What a service does on hearing each type of event. A type without a handler is counted and skipped.
public struct EventHandlers: Sendable {
    typealias Handler = @Sendable (_ payload: [UInt8], Envelope, WriteTransaction) async throws -> Void

    var handlers: [String: (version: Int, handle: Handler)] = [:]

    /// No handlers.
    public init() {}

    /// Applies events of a type, in the transaction that advances the cursor; the transaction is in the event's
    /// organization. Anything thrown is retried and at last parked.
    public mutating func on<E: Event>(
        _ type: E.Type,
        _ apply: @escaping @Sendable (E, Envelope, WriteTransaction) async throws -> Void
    ) {
        handlers[E.type] = (
            E.version,
            { payload, envelope, transaction in
                let event: E
                do {
                    event = try EventPayload.decode(type, from: payload)
                } catch {
                    throw UnreadableEvent(reason: "the payload cannot be decoded: \(error)")
                }
                try await apply(event, envelope, transaction)
            }
        )
    }
}

/// An event that no attempt can apply: parked at once.
struct UnreadableEvent: Error {
    let reason: String
}
