"""What each route answers to whom: one row per route and method of the OpenAPI document, from section 2 of the API.

A route without a row fails the matrix. The principals:

    own          the organization's admin, the control: the request itself is good
    manager      a manager of the same organization who does not collaborate on the project
    developer    collaborates on the project, whose tasks all collaborators may see, but not on the task
    outsider     a developer who collaborates on nothing
    removed      collaborated on project and task and was taken off the project
    deactivated  a member no longer, with the token of before
    anonymous    no token at all
    foreign      the admin of another organization
"""
import dataclasses
import typing

from support import new_user, unique
from world import FORM, picture_form

# What a row leaves out is this.
MEMBERS = ("manager", "developer", "outsider", "removed")


@dataclasses.dataclass
class Row:
    """Statuses by principal; `None` means that this one is not tried, `why` says the reason."""

    own: int
    manager: int | None = None
    developer: int | None = None
    outsider: int | None = None
    removed: int | None = None
    foreign: int | None = None
    deactivated: int | None = 401
    anonymous: int | None = 401
    # The body: a value or a function of the organization.
    body: typing.Any = None
    raw: bytes | None = None
    headers: dict | None = None
    # What path parameters name for the control, where the request uses them up: a function of the organization.
    fresh: typing.Callable | None = None
    # The value of path parameters where it isn't the usual one.
    named: typing.Callable | None = None
    why: str = ""


def everyone(status, **more):
    """Something about the caller alone, or a list of what the caller may see."""
    return Row(status, **{who: status for who in (*MEMBERS, "foreign")}, **more)


def admins_only(own, **more):
    """Users and departments: 403 to others, whatever they name."""
    return Row(own, **{**{who: 403 for who in MEMBERS}, "foreign": 404, **more})


def project(own, developer, **more):
    return Row(own, **{"manager": 404, "developer": developer, "outsider": 404, "removed": 404, "foreign": 404, **more})


def public(status, **more):
    return Row(status, deactivated=status, anonymous=status, **{who: status for who in (*MEMBERS, "foreign")}, **more)


def caller_only(status, why, **more):
    """Changes the caller's own session or account; others' are not named, so only the token is tried."""
    return Row(status, why=why, **more)


P, T, O = "/api/project_management/", "/api/project/", "/api/organization/"
A, N = "/api/account/", "/api/notifications/"
KINDS = ("project-added", "task-assigned", "task-overdue", "daily-reminder")


def project_body(org):
    return {"name": unique("Project")}


def task_body(org):
    return {"title": unique("Task")}


def task_in_project(org):
    return {"title": unique("Task"), "project": org.project}


def department_body(org):
    return {"department_name": unique("Department")}


def user_change(org):
    return {"first_name": "New", "last_name": "Name", "role": "DEVELOPER", "is_active": True}


ROWS = {
    # The gateway's own.
    "GET /health/live": public(200), "GET /health/ready": public(200), "GET /api/openapi.json": public(200),
    "GET /api/asyncapi.json": public(200), "GET /api/asyncapi.yaml": public(200), "GET /api/docs": public(200),
    "GET /.well-known/jwks.json": public(200),

    # Account.
    f"POST {A}signup/": Row(201, deactivated=None, anonymous=None, why="makes an organization of its own",
                            body=lambda org: {"email": unique("new") + "@example.com",
                                              "password": "correct-horse-battery", "first_name": "New",
                                              "last_name": "Person", "organization": "New"}),
    f"GET {A}verify-email/{{uid}}/{{token}}/": public(400),
    f"POST {A}verify-email/{{uid}}/{{token}}/": public(400),
    f"POST {A}login/": public(401, body=lambda org: {"email": org.admin.email, "password": "wrong-horse-battery"}),
    f"POST {A}token/refresh/": public(401, body=lambda org: {"refresh": "r1.nonsense"}),
    f"POST {A}logout/": caller_only(422, "ends the caller's session; a foreign refresh token is tried in BODIES",
                                    body=lambda org: {"refresh": "r1.nonsense"}),
    f"POST {A}change-password/": caller_only(422, "about the caller's account",
                                             body=lambda org: {"old_password": "wrong-horse-battery",
                                                               "new_password": "other-horse-battery"}),
    f"POST {A}request-reset-password/": public(202, body=lambda org: {"email": unique("nobody") + "@example.com"}),
    f"GET {A}request-reset-password/{{uid}}/{{token}}/": public(400),
    f"POST {A}request-reset-password/{{uid}}/{{token}}/": public(
        400, body=lambda org: {"password1": "correct-horse-battery", "password2": "correct-horse-battery"}),
    f"GET {A}sessions/": everyone(200),
    f"DELETE {A}sessions/": caller_only(204, "ends the caller's other sessions"),
    f"DELETE {A}sessions/{{id}}/": Row(204, **{who: 404 for who in (*MEMBERS, "foreign")},
                                       fresh=lambda org: {"session": org.another_session()}),
    f"POST {A}switch-organization/": everyone(
        422, body=lambda org: {"organization": "0190a000-0000-7000-8000-000000000000"}),
    f"GET {A}": everyone(200), f"PATCH {A}": everyone(200, body=lambda org: {}),
    f"PUT {A}profile-pic/": caller_only(200, "the caller's own picture", raw=picture_form(), headers=FORM),
    f"DELETE {A}profile-pic/": caller_only(204, "the caller's own picture",
                                              fresh=lambda org: org.upload(org.admin) and {}),
    "GET /media/{organization}/{file}": public(200, why="whoever knows the unguessable name may look"),

    # Organization.
    f"GET {O}": everyone(200),
    f"PATCH {O}": Row(200, **{who: 403 for who in MEMBERS}, foreign=200, body=lambda org: {}),
    f"DELETE {O}": Row(422, **{who: 403 for who in MEMBERS}, foreign=422, body=lambda org: {"name": "not " + org.name},
                       why="deleted for real in test_deletion.py; here the name is wrong"),
    f"GET {O}members/": everyone(200),
    f"GET {O}users/": admins_only(200, foreign=200),
    f"POST {O}users/": admins_only(201, foreign=201, body=lambda org: new_user()),
    f"GET {O}users/{{email}}/": admins_only(200),
    f"PUT {O}users/{{email}}/": admins_only(200, body=user_change, fresh=lambda org: {"email": org.make_user()}),
    f"PATCH {O}users/{{email}}/": admins_only(200, body=lambda org: {"first_name": "Changed"},
                                              fresh=lambda org: {"email": org.make_user()}),
    f"GET {O}departments/": admins_only(200, foreign=200),
    f"POST {O}departments/": admins_only(201, foreign=201, body=department_body),
    f"GET {O}departments/{{id}}/": admins_only(200),
    f"PUT {O}departments/{{id}}/": admins_only(200, body=department_body,
                                               fresh=lambda org: {"department": org.make_department()}),
    f"PATCH {O}departments/{{id}}/": admins_only(200, body=department_body,
                                                 fresh=lambda org: {"department": org.make_department()}),
    f"DELETE {O}departments/{{id}}/": admins_only(204, fresh=lambda org: {"department": org.make_department()}),

    # Projects.
    f"GET {P}": everyone(200), f"GET {P}projects/": everyone(200),
    f"POST {P}": Row(201, manager=201, developer=403, outsider=403, removed=403, foreign=201, body=project_body),
    f"POST {P}projects/": Row(201, manager=201, developer=403, outsider=403, removed=403, foreign=201,
                              body=project_body),
    f"GET {P}trash/": Row(200, manager=200, developer=403, outsider=403, removed=403, foreign=200),
    f"GET {P}projects/{{id}}/": project(200, 200),
    f"PUT {P}projects/{{id}}/": project(200, 403, body=project_body, fresh=lambda org: {"project": org.make_project()}),
    f"PATCH {P}projects/{{id}}/": project(200, 403, body=lambda org: {"description": "changed"},
                                          fresh=lambda org: {"project": org.make_project()}),
    f"DELETE {P}projects/{{id}}/": project(204, 403, fresh=lambda org: {"project": org.make_project()}),
    f"POST {P}projects/{{id}}/restore/": project(200, 403, fresh=lambda org: {"project": org.deleted_project()}),
    f"GET {P}projects/{{id}}/collaborators/": project(200, 200),
    f"GET {P}projects/{{id}}/collaborators/{{email}}/": project(200, 200),
    f"POST {P}projects/{{id}}/collaborators/{{email}}/": project(
        201, 403, named=lambda org: {"email": org.manager.email},
        fresh=lambda org: {"project": org.make_project(), "email": org.manager.email}),
    f"DELETE {P}projects/{{id}}/collaborators/{{email}}/": project(
        204, 403, fresh=lambda org: {"project": org.project_with(org.manager), "email": org.manager.email}),

    # Tasks.
    f"GET {T}tasks/": everyone(200), f"GET {T}trash/": everyone(200),
    f"POST {T}tasks/": project(201, 201, body=task_in_project, manager=422, outsider=422, removed=422, foreign=422),
    f"GET {T}{{project_id}}/tasks/": project(200, 200),
    f"POST {T}{{project_id}}/tasks/": project(201, 201, body=task_body),
}


def task_rows(prefix):
    """Below a task, the same at both addresses."""
    return {
        f"GET {prefix}": project(200, 200),
        f"PUT {prefix}": project(200, 403, body=task_body),
        f"PATCH {prefix}": project(200, 403, body=lambda org: {"description": "changed"}),
        f"DELETE {prefix}": project(204, 403, fresh=lambda org: {"task": org.make_task(org.project)["id"]}),
        f"GET {prefix}subtasks/": project(200, 200),
        f"POST {prefix}subtasks/": project(201, 403, body=task_body),
        f"GET {prefix}collaborators/": project(200, 200),
        f"GET {prefix}collaborators/{{email}}/": project(200, 200),
        f"POST {prefix}collaborators/{{email}}/": project(
            201, 403, named=lambda org: {"email": org.developer.email},
            fresh=lambda org: {"task": org.make_task(org.project)["id"], "email": org.developer.email}),
        f"DELETE {prefix}collaborators/{{email}}/": project(
            204, 403, fresh=lambda org: {"task": org.task_with(org.developer), "email": org.developer.email}),
        f"POST {prefix}restore/": project(200, 403, fresh=lambda org: {"task": org.deleted_task()}),
    }


ROWS |= task_rows(f"{T}tasks/{{task}}/") | task_rows(f"{T}{{project_id}}/tasks/{{task}}/")
ROWS |= {
    # Notifications.
    f"GET {N}": everyone(200),
    f"POST {N}{{id}}/read/": Row(404, **{**{who: 404 for who in MEMBERS}, "developer": 200}, foreign=404,
                                 why="a notice is its reader's, not the admin's"),
    f"POST {N}read-all/": everyone(200),
    f"GET {N}preferences/": everyone(200),
    f"PUT {N}preferences/": everyone(200, body=lambda org: {"kinds": {
        kind: {"in_app": True, "mail": True} for kind in KINDS},
        "reminder_hour": None, "time_zone": None}),
    f"GET {N}unsubscribe/{{token}}/": public(400),
    f"POST {N}unsubscribe/{{token}}/": public(400),
}

# References in bodies, filters and headers: (method, path, what is sent with the value, which value, status).
# The attacker sends the other organization's value and one that names nothing: the answers have to be the same bytes.
BODIES = [
    ("POST", f"{T}tasks/", lambda v, a: {"title": "t", "project": v}, "project", 422),
    ("POST", f"{T}tasks/", lambda v, a: {"title": "t", "project": a.project, "parent_task": v}, "task", 422),
    ("POST", f"{T}tasks/", lambda v, a: {"title": "t", "project": a.project, "collaborators": [v]}, "email", 422),
    ("POST", "own project tasks", lambda v, a: {"title": "t", "parent_task": v}, "task", 422),
    ("PATCH", "own task", lambda v, a: {"parent_task": v}, "task", 422),
    ("POST", f"{O}users/", lambda v, a: new_user(department=v), "department", 422),
    ("PATCH", "own user", lambda v, a: {"department": v}, "department", 422),
    ("POST", f"{A}switch-organization/", lambda v, a: {"organization": v}, "organization", 422),
    ("POST", f"{A}login/",
     lambda v, a: {"email": a.admin.email, "password": "correct-horse-battery", "organization": v},
     "organization", 401),
    ("POST", f"{A}logout/", lambda v, a: {"refresh": v}, "refresh", 422),
]
FILTERS = [
    (f"{T}tasks/?project={{}}", "project"), (f"{T}tasks/?created_by={{}}", "email"),
    (f"{T}tasks/?collaborator={{}}", "email"), (f"{T}tasks/?parent={{}}", "task"),
    (f"{T}trash/?project={{}}", "project"),
    (f"{O}users/?department={{}}", "department"), (f"{O}users/?department={{}}", "department_name"),
    (f"{T}tasks/?search={{}}", "canary"), (f"{P}?search={{}}", "canary"), (f"{O}users/?search={{}}", "canary"),
    (f"{O}members/?search={{}}", "canary"), (f"{O}users/?search={{}}", "email"),
]
