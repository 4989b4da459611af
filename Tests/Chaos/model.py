"""What the bench knows of the installation: only from answers it got, never from the installation itself.

Every thing has one writer, a worker of the load. A write whose outcome is not known leaves the thing with more than one
possible value; a conditional write (If-Match) that is acknowledged later rules the doubtful ones out, since they named
an older version. A thing with an unconditional write in doubt is frozen: nobody writes to it again, since a request
that was stuck somewhere may be carried out at any later time.
"""
import re
import threading

TOKEN = re.compile(r"tk-\d+-\d+-\d+")


class Creation:
    """A POST that makes something, told apart by the token in its name."""

    def __init__(self, kind, organization, token, path, body, key):
        self.kind, self.organization, self.token = kind, organization, token
        self.path, self.body, self.key = path, body, key
        # maybe: sent, no clear answer yet; acked: 201 seen.
        self.state = "maybe"
        self.id = None


class Thing:
    """Something that was acknowledged, with what its fields may be."""

    def __init__(self, kind, organization, token, path, fields, identity):
        self.kind, self.organization, self.token, self.path = kind, organization, token, path
        self.fields = dict(fields)
        self.doubts = {}
        self.id = identity
        self.etag = None
        # no, maybe, yes: in the trash.
        self.gone = "no"
        self.is_frozen = False
        # What it vanishes and returns with.
        self.project = None
        self.people = set()
        self.people_in_doubt = set()

    @property
    def key(self):
        return (self.organization, self.kind, self.id)

    def allows(self, field, value):
        return value == self.fields[field] or value in self.doubts.get(field, ())

    def differences(self, row):
        """What in an answer about it cannot be."""
        return [f"{field} is {row.get(field)!r}, acknowledged was {value!r}"
                + (f", in doubt {sorted(map(str, self.doubts[field]))}" if self.doubts.get(field) else "")
                for field, value in self.fields.items() if not self.allows(field, row.get(field))]

    def acknowledge(self, changes, conditional):
        self.fields.update(changes)
        if conditional:
            self.doubts = {}

    def doubt(self, changes, conditional):
        for field, value in changes.items():
            self.doubts.setdefault(field, set()).add(value)
        if not conditional:
            self.is_frozen = True


class Versions:
    """The highest version of each object that anyone has seen; whoever asks later must not see a lower one."""

    def __init__(self, judge):
        self.judge = judge
        self.lock = threading.Lock()
        self.highest = {}

    def floor(self, key):
        with self.lock:
            return self.highest.get(key, 0)

    def saw(self, key, version, floor, answer):
        if version < floor:
            self.judge.violate("versions", f"{key} went back from version {floor} to {version}: {answer}")
        with self.lock:
            self.highest[key] = max(self.highest.get(key, 0), version)


class Model:
    def __init__(self, judge):
        self.lock = threading.Lock()
        self.versions = Versions(judge)
        self.creations = {}
        self.things = []
        # (organization, e-mail, kind of notice, project or task) -> how many there must be, or a range.
        self.notices = {}
        # Notices that were marked as read: (organization, e-mail, id).
        self.read_notices = set()
        # Tokens of sessions that were ended, until they run out: (token, moment, why, canary).
        self.dead_tokens = []
        # Organizations that were founded while the load ran.
        self.sign_ups = []
        # Those of them that were deleted again: their ids.
        self.deleted = set()
        self.families = []
        self.secrets = set()

    def creation(self, *arguments):
        made = Creation(*arguments)
        with self.lock:
            self.creations[made.token] = made
        return made

    def thing(self, *arguments):
        made = Thing(*arguments)
        with self.lock:
            self.things.append(made)
        return made

    def of(self, organization, kind):
        with self.lock:
            return [t for t in self.things if t.organization == organization and t.kind == kind]

    def expect_notice(self, organization, email, kind, about, certain=True):
        """One more event that tells somebody; `certain` is False where it may not have happened."""
        with self.lock:
            least, most = self.notices.get((organization, email, kind, about), (0, 0))
            self.notices[(organization, email, kind, about)] = (least + bool(certain), most + 1)
