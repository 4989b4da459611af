import AsyncHTTPClient
import Chronology
import Foundation
import ServiceKit
import Synchronization

/// Puts companies and backlogs into a running installation.
struct DemoFiller {
    let http: HTTPClient
    let origin: String
    /// For the admins that sign up.
    let password: String
    let seed: UInt64

    /// How many requests are under way at once, for each organization.
    private static let concurrency = 8

    // MARK: Companies

    /// Makes both companies side by side.
    func fill(_ companies: [Company]) async throws {
        let steps = companies.reduce(0) { sum, company in
            sum + company.departments.count + company.people.count
                + company.projects.reduce(0) {
                    $0 + 1 + $1.team.count + $1.tasks.reduce(0) { $0 + 1 + $1.subtasks.count }
                }
        }
        let progress = ProgressBar(total: steps)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for company in companies { group.addTask { try await fill(company, progress) } }
            try await group.waitForAll()
        }
        progress.finish()
        Program.say("Log in at \(origin) as")
        for company in companies {
            if let admin = company.people.first { Program.say("  \(admin.email)  \(password)   (\(company.name))") }
        }
    }

    private func fill(_ company: Company, _ progress: ProgressBar) async throws {
        guard let founder = company.people.first else { return }
        let admin = try await signUp(founder, organization: company.name)
        progress.advance("people")
        var departments: [String: Int64] = [:]
        for (index, name) in company.departments.enumerated() {
            let answer = try await admin.send(
                "POST",
                "/api/organization/departments/",
                .object([("department_name", .string(name))]),
                key: "demo-\(seed)-department-\(index)"
            )
            departments[name] = answer.body["id"]?.integer
            progress.advance("departments")
        }
        let ids = departments
        try await eachConcurrently(Array(company.people.dropFirst())) { person in
            var body: [(key: String, value: JSON)] = [
                ("email", .string(person.email)), ("first_name", .string(person.firstName)),
                ("last_name", .string(person.lastName)), ("role", .string(person.role)),
            ]
            if let department = ids[person.department] { body.append(("department", .integer(department))) }
            _ = try await admin.send(
                "POST",
                "/api/organization/users/",
                .object(body),
                key: "demo-\(seed)-\(person.email)"
            )
            progress.advance("people")
        }
        for (number, project) in company.projects.enumerated() {
            try await fill(project, key: "demo-\(seed)-project-\(number)", of: company, as: admin, progress)
        }
    }

    private func fill(
        _ project: Company.ProjectPlan,
        key: String,
        of company: Company,
        as admin: DemoClient,
        _ progress: ProgressBar
    ) async throws {
        let created = try await admin.send(
            "POST",
            "/api/project_management/projects/",
            .object([
                ("name", .string(project.name)), ("description", .string(project.description)),
                ("status", .string(project.status)), ("task_visibility", .string(project.visibility)),
            ]),
            key: key
        )
        guard let id = created.body["id"]?.integer else { return }
        progress.advance(project.name)
        for index in project.team {
            // The creator collaborates from the start.
            if index > 0 {
                _ = try await admin.send(
                    "POST",
                    "/api/project_management/projects/\(id)/collaborators/\(company.people[index].email)/",
                    key: "\(key)-person-\(index)"
                )
            }
            progress.advance(project.name)
        }
        try await eachConcurrently(Array(project.tasks.enumerated())) { number, task in
            let parent = try await admin.send(
                "POST",
                "/api/project/\(id)/tasks/",
                body(of: task, company, parent: nil),
                key: "\(key)-task-\(number)"
            )
            progress.advance(project.name)
            guard let parentID = parent.body["id"]?.integer else { return }
            for (index, subtask) in task.subtasks.enumerated() {
                _ = try await admin.send(
                    "POST",
                    "/api/project/tasks/\(parentID)/subtasks/",
                    body(of: subtask, company, parent: task),
                    key: "\(key)-task-\(number)-\(index)"
                )
                progress.advance(project.name)
            }
        }
    }

    private func body(of task: Company.TaskPlan, _ company: Company, parent: Company.TaskPlan?) -> JSON {
        var members: [(key: String, value: JSON)] = [
            ("title", .string(task.title)), ("description", .string(task.description)),
            ("priority", .string(task.priority)), ("status", .string(task.status)),
            ("start_date", .string(task.start.description)),
            ("collaborators", .array(task.collaborators.map { .string(company.people[$0].email) })),
        ]
        if let due = task.due { members.append(("due_date", .string(due.text))) }
        return .object(members)
    }

    // MARK: Backlogs

    /// Makes a project of each backlog and a task of each issue, every title and description as it stands.
    func load(_ backlogs: [Backlog], email: String?, password given: String?) async throws {
        let admin: DemoClient
        let login: String
        if let email {
            guard let given else { throw SettingError("--email needs --password") }
            admin = DemoClient(http: http, origin: origin)
            let answer = try await admin.send(
                "POST",
                "/api/account/login/",
                .object([("email", .string(email)), ("password", .string(given))]),
                anonymous: true
            )
            await admin.adopt(answer.body)
            login = email
        } else {
            let founder = Company.Person(
                firstName: "Backlog",
                lastName: "Admin",
                email: "backlogs-\(seed)@taskflow.example",
                role: "ADMIN",
                department: ""
            )
            admin = try await signUp(founder, organization: "Backlogs \(seed)")
            login = founder.email
        }
        let progress = ProgressBar(total: backlogs.reduce(0) { $0 + 1 + $1.issues.count })
        let refused = Mutex<[String]>([])
        for backlog in backlogs {
            let id = try await project(for: backlog, as: admin)
            progress.advance(backlog.name)
            try await eachConcurrently(backlog.issues) { issue in
                do {
                    _ = try await admin.send(
                        "POST",
                        "/api/project/\(id)/tasks/",
                        body(of: issue),
                        key: "backlog-\(id)-\(issue.record)"
                    )
                } catch let failure as APIFailure where failure.status == 422 {
                    refused.withLock {
                        $0.append("\(backlog.name).csv, record \(issue.record): \(failure.description)")
                    }
                }
                progress.advance(backlog.name)
            }
        }
        progress.finish()
        let lines = refused.withLock { $0 }
        for line in lines { try? FileHandle.standardError.write(contentsOf: Data((line + "\n").utf8)) }
        if email == nil { Program.say("Log in at \(origin) as\n  \(login)  \(password)") }
        if !lines.isEmpty {
            Program.fail("\(lines.count) issues were refused, all others are loaded")
        }
    }

    private func project(for backlog: Backlog, as admin: DemoClient) async throws -> Int64 {
        var members: [(key: String, value: JSON)] = [("name", .string(backlog.name))]
        if let key = backlog.key { members.append(("key", .string(key))) }
        let answer: DemoClient.Answer
        do {
            answer = try await admin.send("POST", "/api/project_management/projects/", .object(members))
        } catch let failure as APIFailure where failure.code == "key-taken" {
            answer = try await admin.send(
                "POST",
                "/api/project_management/projects/",
                .object([("name", .string(backlog.name))])
            )
        } catch let failure as APIFailure where failure.code == "name-taken" {
            throw StartError(
                "there is a project named \(backlog.name) already: rename it or the file, or load into another organization"
            )
        }
        guard let id = answer.body["id"]?.integer else {
            throw APIFailure(status: answer.status, code: "", description: "the project's answer has no id")
        }
        return id
    }

    private func body(of issue: Backlog.Issue) -> JSON {
        let priority =
            switch issue.storyPoints {
            case .some(let points) where points >= 8: "HIGH"
            case .some(let points) where points <= 2: "LOW"
            default: "MEDIUM"
            }
        return .object([
            ("title", .string(issue.title)), ("description", .string(issue.description)),
            ("priority", .string(priority)),
        ])
    }

    // MARK: Helpers

    private func signUp(_ person: Company.Person, organization: String) async throws -> DemoClient {
        let client = DemoClient(http: http, origin: origin)
        let answer = try await client.send(
            "POST",
            "/api/account/signup/",
            .object([
                ("email", .string(person.email)), ("password", .string(password)),
                ("first_name", .string(person.firstName)), ("last_name", .string(person.lastName)),
                ("organization", .string(organization)),
            ]),
            anonymous: true
        )
        guard answer.status == 201 else {
            throw SettingError(
                "sign-ups there want the address proved by mail: turn TASKFLOW_EMAIL_VERIFICATION off for the demo, "
                    + "or use --backlogs with --email and --password"
            )
        }
        await client.adopt(answer.body)
        return client
    }

    private func eachConcurrently<Element: Sendable>(
        _ elements: [Element],
        _ work: @escaping @Sendable (Element) async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, element) in elements.enumerated() {
                if index >= DemoFiller.concurrency { try await group.next() }
                group.addTask { try await work(element) }
            }
            try await group.waitForAll()
        }
    }
}
