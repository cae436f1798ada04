"""Backups: what a repository was moved away from keeps a name, and the names stay few.

Each amend or rebase on the laptop leaves one. Beyond MOST the oldest become parents of one commit,
whose message has their names: a bound for the refs, and nothing is lost. Who wants the room for
good says `git update-ref -d refs/sidecar/older`.
"""

from sidecar.agent.git.command import Git

KEPT = "refs/sidecar/"
"""Below it: KEPT + "heads/main/<commit>", "HEAD/…", "staged/…", and OLDER."""

OLDER = KEPT + "older"

MOST, LEFT = 200, 100
"""Backups with a name of their own, at most, and after the oldest were put together."""


def put_together(git: Git) -> None:
    """Keeps the number of names below MOST.

    Raises:
        Failure: git does not; nothing has changed then.
    """
    listed = git.run(
        "for-each-ref", "--sort=creatordate", "--format=%(objectname) %(refname)", KEPT
    ).decode("utf-8", "surrogateescape")
    pairs = [line.split(" ", 1) for line in listed.splitlines()]
    before = [oid for oid, name in pairs if name == OLDER]
    pairs = [pair for pair in pairs if pair[1] != OLDER]
    if len(pairs) <= MOST:
        return
    pairs = pairs[: len(pairs) - LEFT]
    parents = list(dict.fromkeys([*before, *(oid for oid, _ in pairs)]))
    tree = git.run("mktree").decode("ascii").strip()
    asked = [word for oid in parents for word in ("-p", oid)]
    message = "What was kept here\n\n" + "".join("%s %s\n" % (oid, name) for oid, name in pairs)
    given = message.encode("utf-8", "surrogateescape")
    made = git.run("commit-tree", tree, *asked, given=given).decode("ascii").strip()
    was = before[0] if before else "0" * len(made)
    lines = ["update %s %s %s" % (OLDER, made, was)]
    lines += ["delete %s %s" % (name, oid) for oid, name in pairs]
    text = "\n".join([*lines, ""]).encode("utf-8", "surrogateescape")
    git.run("update-ref", "--stdin", given=text)
