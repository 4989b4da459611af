import Chronology

/// A made-up company, the same for the same seed.
struct Company: Sendable {
    let name: String
    let domain: String
    let departments: [String]
    /// The first one signs up and is the admin.
    let people: [Person]
    let projects: [ProjectPlan]

    struct Person: Sendable {
        let firstName: String
        let lastName: String
        let email: String
        let role: String
        let department: String
    }

    struct ProjectPlan: Sendable {
        let name: String
        let description: String
        let status: String
        let visibility: String
        /// Indices into `people`.
        let team: [Int]
        let tasks: [TaskPlan]
    }

    struct TaskPlan: Sendable {
        let title: String
        let description: String
        let priority: String
        let status: String
        let start: CivilDate
        let due: Due?
        /// Indices into `people`, all of the project's team.
        let collaborators: [Int]
        let subtasks: [TaskPlan]
    }

    enum Due: Sendable {
        case day(CivilDate)
        case moment(Timestamp)

        var text: String {
            switch self {
            case .day(let day): day.description
            case .moment(let moment): moment.description
            }
        }
    }

    /// Two companies: 8 departments, 40 people, 12 projects and 1,500 tasks between them.
    static func pair(seed: UInt64, now: Timestamp) -> [Company] {
        var random = SeededGenerator(seed: seed)
        return [
            Company(
                name: "Northwind Instruments",
                domain: "northwind-\(seed).example",
                departments: ["Engineering", "Product", "Customer Care", "Operations", "Finance"],
                people: 24,
                projects: 7,
                tasks: 900,
                now: now,
                random: &random
            ),
            Company(
                name: "Harbour Bicycle Works",
                domain: "harbour-\(seed).example",
                departments: ["Workshop", "Design", "Sales"],
                people: 16,
                projects: 5,
                tasks: 600,
                now: now,
                random: &random
            ),
        ]
    }

    private init(
        name: String,
        domain: String,
        departments: [String],
        people: Int,
        projects: Int,
        tasks: Int,
        now: Timestamp,
        random: inout SeededGenerator
    ) {
        self.name = name
        self.domain = domain
        self.departments = departments
        let firstNames = Words.firstNames.shuffled(using: &random)
        let lastNames = Words.lastNames.shuffled(using: &random)
        self.people = (0..<people).map { index in
            let first = firstNames[index % firstNames.count]
            let last = lastNames[index % lastNames.count]
            return Person(
                firstName: first,
                lastName: last,
                email: "\(Words.ascii(first)).\(Words.ascii(last))@\(domain)",
                role: index == 0 ? "ADMIN" : index <= people / 6 ? "MANAGER" : "DEVELOPER",
                department: random.pick(departments, otherwise: "")
            )
        }
        let themes = Words.projects.shuffled(using: &random).prefix(projects)
        let managers = Array(1...(people / 6))
        let others = Array((people / 6 + 1)..<people)
        let shares = (0..<projects).map { tasks / projects + ($0 < tasks % projects ? 1 : 0) }
        self.projects = zip(themes, shares).map { theme, share in
            let team =
                [0] + managers.shuffled(using: &random).prefix(2) + others.shuffled(using: &random).prefix(5)
            return ProjectPlan(
                name: theme.name,
                description: theme.purpose,
                status: random.pick(["PENDING", "IN_PROGRESS", "IN_PROGRESS", "IN_PROGRESS"], otherwise: "PENDING"),
                visibility: random.chance(40) ? "project" : "collaborators",
                team: team,
                tasks: Company.tasks(share, subjects: theme.subjects, team: team, now: now, random: &random)
            )
        }
    }

    /// `count` tasks, subtasks included.
    private static func tasks(
        _ count: Int,
        subjects: [String],
        team: [Int],
        now: Timestamp,
        random: inout SeededGenerator
    ) -> [TaskPlan] {
        var plans: [TaskPlan] = []
        var left = count
        while left > 0 {
            let children = random.chance(30) ? min(Int.random(in: 1...5, using: &random), left - 1) : 0
            let parent = task(subjects, team: team, now: now, within: nil, children: 0, random: &random)
            let subtasks = (0..<children).map { _ in
                task(subjects, team: team, now: now, within: parent, children: 0, random: &random)
            }
            // A parent of open subtasks is open itself; a finished one would be reopened by them.
            plans.append(
                TaskPlan(
                    title: parent.title,
                    description: parent.description,
                    priority: parent.priority,
                    status: children > 0 ? "IN_PROGRESS" : parent.status,
                    start: parent.start,
                    due: parent.due,
                    collaborators: parent.collaborators,
                    subtasks: subtasks
                )
            )
            left -= 1 + children
        }
        return plans
    }

    private static func task(
        _ subjects: [String],
        team: [Int],
        now: Timestamp,
        within parent: TaskPlan?,
        children: Int,
        random: inout SeededGenerator
    ) -> TaskPlan {
        let today = CivilDate(daysSinceEpoch: Int(now.seconds / 86_400))
        let subject = random.pick(subjects, otherwise: "")
        let verb = random.pick(parent == nil ? Words.verbs : Words.steps, otherwise: "Do")
        let start =
            parent.map { $0.start.adding(days: Int.random(in: 0...3, using: &random)) }
            ?? today.adding(days: -Int.random(in: 5...120, using: &random))
        let due: Due?
        if let limit = parent?.due {
            due = limit
        } else {
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<8: due = .moment(now + .seconds(Int.random(in: 300...1200, using: &random)))
            case 8..<45: due = .day(today.adding(days: Int.random(in: 1...30, using: &random)))
            case 45..<75: due = .day(today.adding(days: Int.random(in: 31...180, using: &random)))
            default: due = nil
            }
        }
        return TaskPlan(
            title: "\(verb) \(subject)",
            description: random.pick(Words.descriptions, otherwise: "") + " "
                + random.pick(Words.descriptions, otherwise: ""),
            priority: random.pick(["LOW", "MEDIUM", "MEDIUM", "MEDIUM", "HIGH"], otherwise: "MEDIUM"),
            status: random.pick(
                parent == nil
                    ? ["PENDING", "PENDING", "IN_PROGRESS", "IN_PROGRESS", "COMPLETED", "ON_HOLD", "CANCELLED"]
                    : ["PENDING", "PENDING", "IN_PROGRESS", "COMPLETED"],
                otherwise: "PENDING"
            ),
            start: start,
            due: due,
            collaborators: Array(team.shuffled(using: &random).prefix(Int.random(in: 1...3, using: &random))),
            subtasks: []
        )
    }
}

/// What the companies are made of.
enum Words {
    static let firstNames = [
        "Amara", "Björn", "Chiara", "Dmitri", "Elif", "Femi", "Grażyna", "Hana", "Ibrahim", "Jóhanna", "Kenji", "Leïla",
        "Mateo", "Nguyên", "Oluwaseun", "Priya", "Quentin", "Rosa", "Søren", "Tomás", "Ursula", "Václav", "Wanjiru",
        "Ximena", "Yusuf", "Zoë", "Anouk", "Bashir", "Camille", "Dorota", "Emeka", "Fatima", "Gustavo", "Ines", "Joon",
    ]
    static let lastNames = [
        "Adeyemi", "Bergström", "Castellano", "Demir", "Eriksen", "Fernández", "Gupta", "Haddad", "Ivanova", "Jansen",
        "Kowalska", "Lindqvist", "Moreau", "Nakamura", "O’Brien", "Petrović", "Quispe", "Rossi", "Schäfer", "Tanaka",
        "Ueda", "Villanueva", "Weiss", "Xu", "Yılmaz", "Zieliński", "Abebe", "Brandt", "Costa", "Duarte", "Egger",
        "Fontaine", "Gallo", "Holm", "Iqbal", "Jovanović", "Keller",
    ]
    static let verbs = [
        "Plan", "Review", "Redesign", "Fix", "Document", "Test", "Automate", "Measure", "Replace", "Launch",
        "Translate",
        "Clean up", "Speed up", "Agree on", "Prepare",
    ]
    static let steps = ["Draft", "Discuss", "Try out", "Write down", "Check", "Ask about", "Estimate", "Hand over"]
    static let descriptions = [
        "Two customers asked for this last week; see the notes of the call.",
        "Done when the team has seen it work on real data.",
        "Small, but it blocks everything after it.",
        "Start with the simplest thing that could be shown.",
        "The last attempt stopped half-way; its notes are still good.",
        "Costs little now and a lot in spring.",
        "Keep the old way working until everyone has moved.",
        "Numbers first: how often does it happen, and to whom?",
        "Ask the workshop before changing anything they touch daily.",
        "“Good enough” is written down in the project’s goals.",
    ]
    static let projects: [(name: String, purpose: String, subjects: [String])] = [
        (
            "Website relaunch", "A faster site that sells, by the trade fair.",
            ["the landing page", "the price list", "the checkout", "the search", "the picture gallery", "the imprint"]
        ),
        (
            "Mobile app", "Orders and service from the pocket.",
            ["the login screen", "push notices", "the offline mode", "the order history", "the barcode scanner"]
        ),
        (
            "Warehouse move", "From the old hall to the new one without a day of closing.",
            ["the floor plan", "the shelf labels", "the forklift lanes", "the inventory count", "the insurance"]
        ),
        (
            "Customer portal", "Every question that is asked twice gets answered there.",
            ["the ticket form", "the knowledge base", "the invoice download", "the contract overview", "the sign-up"]
        ),
        (
            "Annual audit", "Clean books and a calm December.",
            ["the asset list", "the travel expenses", "the supplier contracts", "the payroll sample", "the tax forms"]
        ),
        (
            "Data platform", "One place where the numbers agree.",
            ["the nightly import", "the sales dashboard", "the duplicate check", "the archive", "the access rules"]
        ),
        (
            "Spring collection", "Five models, two colours each, in shops by March.",
            ["the frame drawings", "the colour samples", "the prototype", "the catalogue text", "the photo shoot"]
        ),
        (
            "Hiring", "Four people who make the team better.",
            ["the job advert", "the interview guide", "the trial day", "the salary bands", "the first week"]
        ),
        (
            "Support quality", "An answer within four hours, a solution within two days.",
            ["the phone menu", "the escalation path", "the weekly review", "the answer templates", "the survey"]
        ),
        (
            "Security hardening", "Nothing surprising in the next test.",
            ["the password policy", "the backup restore", "the firewall rules", "the device list", "the training"]
        ),
        (
            "Trade fair", "Three days, one stand, two hundred conversations.",
            ["the stand design", "the demo devices", "the travel plan", "the leaflets", "the follow-up mails"]
        ),
        (
            "Energy saving", "A fifth less by the end of the year.",
            ["the heating schedule", "the roof panels", "the lighting", "the meter readings", "the grant application"]
        ),
        (
            "Partner programme", "Ten shops that sell and repair our work.",
            ["the contract draft", "the spare-part prices", "the training videos", "the shop map", "the bonus rules"]
        ),
    ]

    /// A name as it may stand in an address: plain lower-case letters.
    static func ascii(_ name: String) -> String {
        let plain: [Character: String] = [
            "ö": "o", "ø": "o", "ó": "o", "ż": "z", "ï": "i", "ê": "e", "á": "a", "ć": "c", "ä": "a", "ı": "i",
            "ń": "n",
            "ë": "e", "’": "", "ł": "l", "é": "e",
        ]
        return name.lowercased().map { plain[$0] ?? ($0.isASCII ? String($0) : "x") }.joined()
    }
}
