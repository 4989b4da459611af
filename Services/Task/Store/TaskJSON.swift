import Identity
import Postgres

/// SQL that lets Postgres write the JSON of answers: a page is one round trip and no row is taken apart here.
///
/// `row_to_json` over a subquery, not `json_build_object`: the former is compact. All expressions speak of the tables
/// `t` (task) and `p` (its project) unless an alias is given.
struct TaskJSON: Sendable {
    let organization: OrganizationID

    /// A moment as the API writes it.
    static func moment(_ column: String) -> SQL {
        SQL(unsafe: #"to_char(\#(column) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#)
    }

    /// A person inside other objects; one who is not known here has only an id.
    func person(_ column: String) -> SQL {
        """
        (SELECT row_to_json(x) FROM (SELECT u.id, COALESCE(m.email, '') AS email, \
        COALESCE(m.first_name || ' ' || m.last_name, '') AS name, m.profile_img \
        FROM (SELECT \(unsafe: column) AS id) u LEFT JOIN member m \
        ON m.organization_id = \(organization) AND m.user_id = u.id) x)
        """
    }

    /// A collaborator, of the table `c` (task_collaborator).
    var collaborator: SQL {
        """
        (SELECT row_to_json(x) FROM (SELECT \(person("c.user_id")) AS "user", \(TaskJSON.moment("c.added_at")) AS added_at, \
        \(person("c.added_by")) AS added_by) x)
        """
    }

    /// How much the version shown is above the one kept.
    var peopleEpoch: SQL {
        """
        COALESCE((SELECT o.people_epoch FROM organization o WHERE o.organization_id = \(organization)), 0)
        """
    }

    /// A task as in lists.
    func row(_ task: String = "t", trash: Bool = false) -> SQL {
        object(task, more: trash ? ", \(TaskJSON.moment("\(task).deleted_at")) AS deleted_at" : "")
    }

    /// A single task, with its subtasks as far as `visible` says; `visible` speaks of the table `s`.
    func single(visible: SQL) -> SQL {
        object(
            "t",
            more: """
                , COALESCE((SELECT json_agg(x.task) FROM (SELECT \(row("s")) AS task FROM task s \
                WHERE s.parent_id = t.id AND \(visible) ORDER BY s.id) x), '[]'::json) AS subtasks
                """
        )
    }

    private func object(_ t: String, more: SQL) -> SQL {
        """
        (SELECT row_to_json(r) FROM (SELECT \(unsafe: t).id, p.key || '-' || \(unsafe: t).number AS key, \
        \(unsafe: t).project_id AS project, \(unsafe: t).parent_id AS parent_task, \(unsafe: t).title, \
        \(unsafe: t).description, \(unsafe: t).priority, \(unsafe: t).status, \
        COALESCE(\(unsafe: t).start_day::text, \(TaskJSON.moment("\(t).start_at"))) AS start_date, \
        COALESCE(\(unsafe: t).due_day::text, \(TaskJSON.moment("\(t).due_at"))) AS due_date, \
        \(TaskJSON.moment("\(t).completed_at")) AS completed_date, \
        COALESCE((SELECT json_agg(y.collaborator) FROM (SELECT \(collaborator) AS collaborator \
        FROM task_collaborator c WHERE c.organization_id = \(organization) AND c.task_id = \(unsafe: t).id \
        ORDER BY c.added_at, c.user_id) y), '[]'::json) AS collaborators, \
        \(person("\(t).created_by")) AS created_by, \(person("\(t).updated_by")) AS updated_by, \
        \(TaskJSON.moment("\(t).created_at")) AS created_at, \(TaskJSON.moment("\(t).updated_at")) AS updated_at, \
        \(unsafe: t).version + \(peopleEpoch) AS version\(more)) r)
        """
    }
}
