import ArgumentParser

/// The one program: each service is a role that a process can take.
@main
struct Taskflow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "taskflow",
        abstract: "Project and task management for many organizations, run by yourself.",
        discussion: """
            To try it, or to run it on one machine:     taskflow up
            To run its services where you like:         taskflow migrate, then taskflow serve

            Settings come from flags, the environment, the running installation's own file in .taskflow/ (or the \
            one that TASKFLOW_SETTINGS_FILE names), and a file .env in the working folder, in this order. \
            docs/operations.md lists them.
            """,
        subcommands: [
            Up.self, Serve.self, Migrate.self, Backup.self, Restore.self, Verify.self, Rebuild.self, Demo.self,
            Keys.self,
            Gateway.self, Events.self, OpenAPI.self, MakeSecrets.self, Health.self,
        ]
    )
}
