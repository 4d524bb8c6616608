--- user: somebody's account, or a service's.

local resource = require "orrery.play.resource"

return resource.define {
    name = "user",
    doc = "A user is there, with number, groups, home and shell, or is not.",
    options = {
        name = { type = "string", required = true, doc = "the login name", public = "it is not for secrets" },
        state = { enum = { "present", "absent" }, default = "present", doc = "whether the user is to be there" },
        uid = { type = "integer", doc = "the number; without it, a free one, and any number of one that is there" },
        group = { type = "owner", doc = "the primary group; of a new user without it: one of their own name" },
        groups = {
            type = "list", of = "string",
            doc = "the other groups; without it they stay",
            public = "it is not for secrets",
        },
        append = { type = "boolean", default = false, doc = "be in those groups, and stay in the others" },
        shell = { type = "path", doc = "the login shell", public = "it is not for secrets" },
        home = { type = "path", doc = "the home directory", public = "it is not for secrets" },
        create_home = { type = "boolean", doc = "make the home directory with the user, by default unless `system`" },
        move_home = { type = "boolean", default = false, doc = "when `home` changes, what is in the old one moves" },
        comment = {
            type = "string",
            doc = "the full name, or what the account is for",
            public = "it is not for secrets",
        },
        system = { type = "boolean", default = false, doc = "numbers from the range for the system, when it is made" },
        password = {
            type = "string", secret = true,
            doc = "as /etc/shadow has it, a hash of crypt(3); a new user without it has none and cannot use one",
        },
        locked = { type = "boolean", doc = "no password is accepted; false: the one that there is works again" },
        expires = {
            type = "string",
            doc = "the day from which the account is closed, '2030-12-31'; 'never'",
            public = "it is not for secrets",
        },
        remove = { type = "boolean", default = false, doc = "with 'absent': home directory and mail, too" },
        force = { type = "boolean", default = false, doc = "with 'absent': also while the user is logged in" },
        non_unique = { type = "boolean", default = false, doc = "the number may be that of another user" },
    },
    positional = { "name" },
    returns = {
        name = "the login name", uid = "the number", gid = "the primary group's number", home = "the home directory",
        shell = "the login shell", groups = "names of the other groups",
    },
    example = [[h:user { name = "ada", groups = { "sudo" }, append = true, shell = "/bin/bash" }]],
    validate = function(o) return require("orrery.play.system.user_check").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.user_check").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.user").apply(o, plan, env) end,
}
