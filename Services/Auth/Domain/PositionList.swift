import Events

/// Places in streams as another service writes them.
struct PositionList: Sendable, Hashable {
    /// Those that could be read.
    var positions: [Position] = []
    /// Where the others stood.
    var unreadable: [Int] = []

    init(_ texts: [String]) {
        for (index, text) in texts.enumerated() {
            if let position = Position(text) { positions.append(position) } else { unreadable.append(index) }
        }
    }
}
