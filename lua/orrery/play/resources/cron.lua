--- cron: something runs at certain times.

local resource = require "orrery.play.resource"

local FIELD = { "string", "integer" }

return resource.define {
    name = "cron",
    doc = "A job of cron is there, in a user's table or in a file of /etc/cron.d, or is not.",
    options = {
        name = { type = "string", required = true, doc = "what it is known by: a comment in front of its line" },
        state = { enum = { "present", "absent" }, default = "present", doc = "whether it is to be there" },
        job = {
            type = "string",
            doc = "the command line for sh; % has to be written as \\%",
            public = "a file that only its user can read takes it to the job",
        },
        schedule = { type = "string", doc = "all five fields, '*/5 * * * *', or '@daily', '@reboot'" },
        minute = { type = FIELD, default = "*", doc = "0-59, or as in crontab(5)" },
        hour = { type = FIELD, default = "*", doc = "0-23" },
        day = { type = FIELD, default = "*", doc = "of the month, 1-31" },
        month = { type = FIELD, default = "*", doc = "1-12" },
        weekday = { type = FIELD, default = "*", doc = "0-7, 0 and 7 are Sunday" },
        user = { type = "string", doc = "whose table, and as whom it runs; by default root, or who we are" },
        file = { type = "string", doc = "in /etc/cron.d, in a file of this name, which has nothing else" },
        variables = { type = "map", of = "string", doc = "with `file`: variables ahead of the job" },
        disabled = { type = "boolean", default = false, doc = "there, but as a comment" },
    },
    returns = { name = "what it is known by", path = "the file, with `file`" },
    example = [[h:cron { name = "backup", job = "/usr/local/bin/backup", hour = 3, minute = 30, user = "backup" }]],
    validate = function(o) return require("orrery.play.system.crontab").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.cron").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.cron").apply(o, plan, env) end,
}
