-- People and their keys on all hosts: who is listed gets an account and exactly the keys that are listed, who has left
-- loses both, and admins may use sudo. What sudo would not accept never gets into its directory.
--
--     orrery play examples/users.lua -i hosts.ini --check --diff
--     orrery play examples/users.lua -i hosts.ini -e people=staff       # another list: staff.lua

local play = require "orrery.play"

local SUDO = [[
# Written by users.lua.
%%admins ALL=(ALL:ALL) %s ALL
]]

play.play {
    name = "users", hosts = "@all", become = true,
    run = function(h)
        local people = require(h.vars.people or "people")
        h:group { name = "admins", state = "present" }
        for _, person in ipairs(people.here) do
            h:task(person.name, { tags = person.name }, function()
                h:user {
                    name = person.name, comment = person.full_name, shell = person.shell or "/bin/bash",
                    groups = person.admin and { "admins" } or {}, append = not person.admin,
                }
                h:authorized_key { user = person.name, keys = person.keys, exclusive = true }
            end)
        end
        for _, name in ipairs(people.gone) do
            h:user { name = name, state = "absent", remove = true, force = true }
        end
        h:copy {
            dest = "/etc/sudoers.d/admins", mode = "440", owner = "root", group = "root",
            content = SUDO:format(people.sudo_without_password and "NOPASSWD:" or ""), validate = "visudo -cf %s",
        }
    end,
}
