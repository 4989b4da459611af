import Events
import Identity

/// What is done on hearing of others. Everything but the mails of accounts is dropped once the organization is gone.
extension NotificationDesk {
    // MARK: Organizations and people

    func heard(_ event: OrganizationFounded, _ transaction: Transaction) async throws {
        guard try await store.isLiving(transaction) else { return }
        try store.found(event, transaction)
        try store.lookAgain(transaction)
    }

    func heard(_ event: OrganizationUpdated, _ transaction: Transaction) async throws {
        guard try await store.isLiving(transaction) else { return }
        try store.save(event, transaction)
        try store.lookAgain(transaction)
    }

    func heard(_ event: OrganizationDeleted, _ transaction: Transaction) async throws {
        try await store.erase(transaction)
    }

    /// A user was created or changed.
    func heard(_ profile: UserProfile, _ transaction: Transaction) async throws {
        guard try await store.isLiving(transaction) else { return }
        try store.save(profile, transaction)
        try store.lookAgain(transaction)
    }

    /// Welcomes a user an admin has created, with a link to set a password unless they have one.
    func heard(_ event: MembershipAttached, _ envelope: Envelope, _ transaction: Transaction) async throws {
        guard try await store.isLiving(transaction) else { return }
        var link: Letter.Link?
        if let request = event.activation, let expiresAt = event.activationExpiresAt {
            link = Letter.Link(
                account: event.account,
                request: request,
                purpose: LinkRequested.Purpose.activate.rawValue,
                expiresAt: expiresAt
            )
        }
        try store.queue(
            [(event.user, .welcome(organization: event.organizationName, link: link))],
            email: event.email,
            event: envelope.id,
            transaction
        )
    }

    // MARK: Accounts

    func heard(_ event: LinkRequested, _ envelope: Envelope, _ transaction: Transaction) throws {
        let link = Letter.Link(
            account: event.account,
            request: event.request,
            purpose: event.purpose.rawValue,
            expiresAt: event.expiresAt
        )
        let letter: Letter =
            switch event.purpose {
            case .verifyEmail: .verifyEmail(link)
            case .resetPassword: .resetPassword(link)
            case .activate: .activate(link)
            }
        try store.queue(
            letter,
            to: event.account,
            email: event.email,
            firstName: event.firstName,
            event: envelope.id,
            transaction
        )
    }

    func heard(_ event: SignUpRepeated, _ envelope: Envelope, _ transaction: Transaction) throws {
        try store.queue(
            .accountExists,
            to: event.account,
            email: event.email,
            firstName: nil,
            event: envelope.id,
            transaction
        )
    }

    func heard(_ event: PasswordChanged, _ envelope: Envelope, _ transaction: Transaction) throws {
        try store.queue(
            .passwordChanged(byLink: event.byLink),
            to: event.account,
            email: event.email,
            firstName: event.firstName,
            event: envelope.id,
            transaction
        )
    }

    /// Only the end of a session that somebody seems to have stolen is worth a mail.
    func heard(_ event: SessionRevoked, _ envelope: Envelope, _ transaction: Transaction) throws {
        guard event.reason == .reuse else { return }
        try store.queue(
            .sessionReused,
            to: event.account,
            email: event.email,
            firstName: nil,
            event: envelope.id,
            transaction
        )
    }

    // MARK: Projects

    func heard(_ event: ProjectCreated, _ transaction: Transaction) async throws {
        guard try await store.isLiving(transaction) else { return }
        try store.save(event, transaction)
    }

    func heard(_ event: ProjectUpdated, _ transaction: Transaction) async throws {
        guard try await store.isLiving(transaction) else { return }
        try store.change(event.project, revision: event.revision, name: event.name, isDeleted: nil, transaction)
    }

    func heard(_ event: ProjectDeleted, _ transaction: Transaction) async throws {
        guard try await store.isLiving(transaction) else { return }
        try store.change(event.project, revision: event.revision, name: nil, isDeleted: true, transaction)
    }

    func heard(_ event: ProjectRestored, _ transaction: Transaction) async throws {
        guard try await store.isLiving(transaction) else { return }
        try store.change(event.project, revision: event.revision, name: nil, isDeleted: false, transaction)
    }

    func heard(_ event: ProjectPurged, _ transaction: Transaction) async throws {
        try store.forget(event.project, transaction)
    }

    func heard(_ event: ProjectCollaboratorAdded, _ envelope: Envelope, _ transaction: Transaction) async throws {
        guard !event.isCreator, try await store.isLiving(transaction) else { return }
        let project = try await store.projectName(event.project, transaction) ?? "a project"
        let by = try await nameOfActor(envelope, transaction)
        try await tell(
            [event.user],
            of: .projectAdded,
            project: event.project,
            task: nil,
            envelope,
            transaction
        ) { _ in .projectAdded(project: project, by: by) }
    }

    // MARK: Tasks

    func heard(_ event: TaskCreated, _ envelope: Envelope, _ transaction: Transaction) async throws {
        guard try await store.isLiving(transaction) else { return }
        try store.save(event.task, revision: event.revision, event.summary, transaction)
        try store.add(event.collaborators, to: event.task, transaction)
        try await tellAssigned(event.collaborators, event.task, envelope, transaction)
    }

    func heard(_ event: TaskUpdated, _ transaction: Transaction) async throws {
        guard try await store.isLiving(transaction) else { return }
        try store.save(event.task, revision: event.revision, event.summary, transaction)
    }

    func heard(_ event: TaskOverdue, _ envelope: Envelope, _ transaction: Transaction) async throws {
        guard try await store.isLiving(transaction) else { return }
        try store.change(event.task, revision: event.revision, status: "OVERDUE", isDeleted: nil, transaction)
        guard let task = try await store.task(event.task, transaction) else { return }
        try await tell(
            task.overdueReaders,
            of: .taskOverdue,
            project: task.project,
            task: task.id,
            envelope,
            transaction
        ) { reader in .taskOverdue(task: task.line(in: reader.zone)) }
    }

    func heard(_ event: TaskDeleted, _ transaction: Transaction) async throws {
        guard try await store.isLiving(transaction) else { return }
        try store.change(event.task, revision: event.revision, status: nil, isDeleted: true, transaction)
    }

    func heard(_ event: TaskRestored, _ transaction: Transaction) async throws {
        guard try await store.isLiving(transaction) else { return }
        try store.change(event.task, revision: event.revision, status: nil, isDeleted: false, transaction)
    }

    func heard(_ event: TaskPurged, _ transaction: Transaction) async throws {
        try store.forget(event.task, transaction)
    }

    func heard(_ event: TaskCollaboratorAdded, _ envelope: Envelope, _ transaction: Transaction) async throws {
        guard try await store.isLiving(transaction) else { return }
        try store.add([event.user], to: event.task, transaction)
        try await tellAssigned([event.user], event.task, envelope, transaction)
    }

    func heard(_ event: TaskCollaboratorRemoved, _ transaction: Transaction) async throws {
        guard try await store.isLiving(transaction) else { return }
        try store.remove(event.user, from: event.task, transaction)
    }

    private func tellAssigned(
        _ users: [UserID],
        _ task: TaskID,
        _ envelope: Envelope,
        _ transaction: Transaction
    ) async throws {
        guard users.contains(where: { $0 != envelope.actor }) else { return }
        guard let task = try await store.task(task, transaction) else { return }
        let by = try await nameOfActor(envelope, transaction)
        try await tell(
            users,
            of: .taskAssigned,
            project: task.project,
            task: task.id,
            envelope,
            transaction
        ) { reader in .taskAssigned(task: task.line(in: reader.zone), by: by) }
    }

    private func nameOfActor(_ envelope: Envelope, _ transaction: Transaction) async throws -> String? {
        guard let actor = envelope.actor else { return nil }
        return try await store.name(of: actor, transaction)
    }

    /// Tells people of something that others did, in the app and by mail as each of them wants it.
    private func tell(
        _ users: [UserID],
        of kind: NoticeKind,
        project: ProjectID?,
        task: TaskID?,
        _ envelope: Envelope,
        _ transaction: Transaction,
        _ letter: (Reader) -> Letter
    ) async throws {
        let concerned = Audience.of(users, actor: envelope.actor)
        guard !concerned.isEmpty else { return }
        let readers = try await store.readers(concerned, transaction).filter(\.isActive)
        try send(
            readers.map { ($0.user, $0.preferences, letter($0)) },
            kind: kind,
            project: project,
            task: task,
            event: envelope.id,
            transaction
        )
    }

    /// Writes notices and queues mails, as preferences allow.
    func send(
        _ letters: [(user: UserID, preferences: Preferences, letter: Letter)],
        kind: NoticeKind,
        project: ProjectID?,
        task: TaskID?,
        event: EventID,
        _ transaction: Transaction
    ) throws {
        var notices: [(user: UserID, text: NoticeText)] = []
        for (user, preferences, letter) in letters where !preferences.mutedInApp.contains(kind) {
            if let text = NoticeText(letter) { notices.append((user, text)) }
        }
        try store.add(notices, kind: kind, project: project, task: task, event: event, transaction)
        let mailed = letters.filter { !$0.preferences.mutedMail.contains(kind) }.map { ($0.user, $0.letter) }
        try store.queue(mailed, event: event, transaction)
    }
}

/// Who is to hear of something.
enum Audience {
    /// Everybody once, but never the one who acted.
    static func of(_ users: [UserID], actor: UserID?) -> [UserID] {
        var seen: Set<UserID> = []
        return users.filter { $0 != actor && seen.insert($0).inserted }
    }
}
