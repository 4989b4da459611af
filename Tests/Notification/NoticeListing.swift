import Identity
import Lists

@testable import NotificationService

private let signer = CursorSigner(key: [UInt8](repeating: 5, count: 32))

/// A page of someone's notices, as the route would ask for it.
func list(_ fixture: Fixture, _ query: String, of user: UserID? = nil) async throws -> Page<Notice> {
    let items: QueryItems = query.split(separator: "&").map { pair in
        let parts = pair.split(separator: "=", maxSplits: 1)
        return (String(parts[0]), String(parts[1]))
    }
    let request = try Notice.list.parse(items, organization: fixture.organization, signer: signer)
    return try await fixture.desk.notices(of: fixture.principal(user ?? fixture.ada), request)
}

/// The titles of all pages, walking forward, and checked against walking back.
func pages(_ fixture: Fixture, _ query: String) async throws -> [String] {
    var page = try await list(fixture, query)
    var titles = page.items.map(\.title)
    var last = page
    while let next = page.next {
        page = try await list(fixture, "\(query)&cursor=\(next)")
        titles += page.items.map(\.title)
        last = page
    }
    var back = last.items.map(\.title)
    while let previous = last.previous {
        last = try await list(fixture, "\(query)&cursor=\(previous)")
        back = last.items.map(\.title) + back
    }
    return back == titles ? titles : ["walking back gave", "\(back)"]
}
