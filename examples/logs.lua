-- Collects logs: from each host the newest files that match, in one archive, into a directory here; and says which
-- hosts complain most. Changes nothing on the hosts.
--
--     orrery play examples/logs.lua -i hosts.ini -- --to logs --glob '/var/log/*.log' --newest 20 --pattern error

local play = require "orrery.play"

local options = { to = "logs", glob = "/var/log/*.log", newest = "20", pattern = "[Ee]rror" }
for i = 1, #arg, 2 do
    local name = arg[i]:match "^%-%-(%w+)$"
    if not name or not options[name] or not arg[i + 1] then
        io.stderr:write("usage: orrery play logs.lua [OPTION...] -- [--to DIR] [--glob GLOB] [--newest N] "
            .. "[--pattern TEXT]\n")
        os.exit(64)
    end
    options[name] = arg[i + 1]
end

-- $1: glob, $2: how many, $3: what to look for. Says the number of lines, and leaves the archive's name.
local GATHER = [[
set -e
archive=$(mktemp /tmp/logs.XXXXXX)
files=$(ls -1dt -- $1 2>/dev/null | head -n "$2")
[ -n "$files" ] || { rm "$archive"; echo none; exit; }
echo "$archive"
cat -- $files | grep -c -e "$3" || :
tar -czf "$archive" -- $files 2>/dev/null
]]

assert(os.execute(("mkdir -p '%s'"):format(options.to)) == 0)

local r = play.play {
    name = "logs", hosts = "@all", become = true, throttle = 20,
    run = function(h)
        local said = h:shell {
            name = "gather", cmd = GATHER, args = { options.glob, options.newest, options.pattern },
            changed_when = false,
        }.stdout
        local archive, lines = said:match "^(/tmp/%S+)\n(%d+)"
        if not archive then return { lines = 0 } end
        local path = ("%s/%s.tar.gz"):format(options.to, h.name)
        local ok, err = pcall(h.get, h, archive, path)
        h:file { name = "tidy up", path = archive, state = "absent", changed_when = false }
        if not ok then error(err) end
        return { lines = tonumber(lines), path = path }
    end,
}

local names = {}
for name in pairs(r.results) do names[#names + 1] = name end
table.sort(names, function(a, b) return r.results[a].lines > r.results[b].lines end)
for _, name in ipairs(names) do
    play.say(("%-20s %6d lines  %s"):format(name, r.results[name].lines, r.results[name].path or "no logs"))
end
