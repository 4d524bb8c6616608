--- Relays: what opens SSH children in a context.
--
-- An agent has no SSH inside, since most need none. One that is asked for SSH children gets a child of its own that
-- has: the same program with SSH, which is sent there the first time, and kept beside the agent by its hash. It is
-- no step on anybody's route. There is one for each context, as long as it has children, and a bit longer.

local core = require "orrery.core"
local Error = require "orrery.error"
local link = require "orrery.link"
local nested = require "orrery.nested"
local sched = require "orrery.sched"
local system = require "orrery.ssh_system"

local M = {}

--- How long a relay without children is kept, seconds.
M.IDLE = 30

local LINGER = 3

-- Sending it ---------------------------------------------------------------------------------------

-- Where the agent is, there the relay can be, too. $1: its name in a cache.
local FIND = [=[
umask 077
agent=$(readlink /proc/$PPID/exe) && uname -s && uname -m && echo $PPID || exit 1
case $agent in
*' (deleted)') # as no_cache has it
    for d in "$XDG_RUNTIME_DIR" /tmp /var/tmp /dev/shm "$HOME"; do
        case $d in /*) ;; *) continue ;; esac
        d=$(mktemp -d "$d/orrery-XXXXXXXXXXXX" 2>/dev/null) || continue
        if echo : >"$d/t" && chmod 700 "$d/t" && "$d/t"; then rm "$d/t"; echo "$d"; echo private; exit 0; fi
        rm -rf "$d"
    done
    exit 3;;
esac
u=$(id -u)
ours() { [ -d "$1" ] && [ ! -h "$1" ] && [ -O "$1" ] && case $(ls -ld "$1") in drwx--[-S]---*) ;; *) false ;; esac; }
for d in "${agent%/*}" "${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}/orrery" "${XDG_RUNTIME_DIR:+$XDG_RUNTIME_DIR/orrery}" \
    /var/tmp/orrery-$u /tmp/orrery-$u /dev/shm/orrery-$u; do
    case $d in /*/*) ;; *) continue ;; esac
    mkdir -p "${d%/*}" 2>/dev/null; mkdir "$d" 2>/dev/null
    ours "$d" || continue
    if [ -f "$d/$1" ]; then echo "$d"; echo there; exit 0; fi
    t=$d/.t$$
    if { echo : >"$t" && chmod 700 "$t" && "$t"; } 2>/dev/null; then
        rm -f "$t"; echo "$d"
        for z in xz gzip; do command -v $z && break; done
        exit 0
    fi
    rm -f "$t"
done
exit 3
]=]

local function failed(ctx, text, ...)
    Error.raise {
        code = "bootstrap", context = ctx.name, route = ctx.route, at = Error.at(),
        message = "no relay for SSH from there: " .. text:format(...),
    }
end

local function slurp(path)
    local file = io.open(path, "rb")
    local text = file and file:read "*a"
    if file then file:close() end
    return text
end

-- Another one may be doing the same there.
local last = 0
local function temporary(directory)
    local id, handle = core.self()
    last = last + 1
    return ("%s/.relay-%d-%d-%d-%d"):format(directory, id, handle, last, os.time())
end

-- put compares what is there by its hash, and sends it if it is another: so it verifies what was unpacked, and
-- sends all where nothing was.
local function send(ctx, image, directory, name, unpacker)
    local temp, compressed = temporary(directory), unpacker and slurp(image .. (unpacker == "xz" and ".xz" or ".gz"))
    local ok, err = pcall(function()
        if compressed then
            ctx:run({ "sh", "-c", 'umask 077; exec "$0" -dc >"$1"', unpacker, temp },
                { stdin = compressed, check = false })
        end
        ctx:put(image, temp, { mode = 0x1c0 })
        ctx:run { "mv", "-f", temp, directory .. "/" .. name }
    end)
    if ok then return end
    pcall(ctx.run, ctx, { "rm", "-f", temp })
    error(err, 0)
end

-- The command line of the relay for a context, which is there then.
local function provide(ctx)
    local dir = core.agent_dir
    local id = (slurp(dir .. "/relay.id") or ""):match "%x+"
    if not id then failed(ctx, "cannot read %s/relay.id (is orrery installed whole?)", dir) end
    local name = "relay-" .. id
    local found = ctx:run({ "sh", "-c", FIND, "sh", name }, { check = false })
    local kernel, machine, pid, directory, rest = found.stdout:match "^(.-)\n(.-)\n(%d+)\n(.-)\n(.*)$"
    if not directory then
        local why = found.stderr:gsub("%s+$", "")
        failed(ctx, "no directory there can hold it%s", why ~= "" and ": " .. why or "")
    end
    local image = ("%s/relay-%s-%s"):format(dir, kernel, machine)
    if not system.exists(image) then failed(ctx, "there is none for this machine: %s", image) end
    local path = directory .. "/" .. name
    if rest:find "^there" then
        ctx:put(image, path, { mode = 0x1c0 })
    else
        send(ctx, image, directory, name, rest:match "/(%w+)\n$")
    end
    local program = { path, "-a", ("/proc/%s/exe"):format(pid) }
    if rest:find "^private" then
        program[#program + 1], program[#program + 2] = "-u", path
    end
    return program
end

-- Keeping it ---------------------------------------------------------------------------------------

---@class orrery.Relay
---@field ctx? orrery.Context where SSH children are opened; once it is there
---@field package opening? orrery.Future
---@field package users integer
---@field package idle? orrery.Timer
local Relay = {}
Relay.__index = Relay

---@type table<integer, orrery.Relay> by the context
local relays = {}

-- The relay with that id, or the one of that context.
local function forget(id)
    for of, relay in pairs(relays) do
        if of == id or relay.ctx and relay.ctx.id == id then relays[of] = nil end
    end
end

link.on_dead(forget)

local function open(ctx)
    local program = provide(ctx)
    return nested.open(ctx, { name = "the relay in " .. ctx.name, route = "", program = program })
end

--- The relay of a context, for one more user.
---@param ctx orrery.Context
---@return orrery.Relay
---Raises "bootstrap", "dead", "file".
function M.take(ctx)
    local relay = relays[ctx.id]
    if not relay then
        relay = setmetatable({ users = 0 }, Relay)
        relays[ctx.id] = relay
        relay.opening = sched.spawn(function()
            relay.ctx = open(ctx)
            relay:rest()
        end)
    end
    relay.users = relay.users + 1
    if relay.idle then relay.idle = relay.idle:cancel() end
    local ok, err = pcall(relay.opening.get, relay.opening)
    if not ok then
        if relays[ctx.id] == relay and relay.opening:done() then relays[ctx.id] = nil end
        relay:leave()
        error(err, 0)
    end
    return relay
end

-- Without users it ends, in a while.
function Relay:rest()
    if self.users > 0 or not self.ctx then return end
    self.idle = sched.after(M.IDLE, function()
        if self.users > 0 then return end
        forget(self.ctx.id)
        core.close(self.ctx.id, LINGER)
    end)
end

--- One user less.
function Relay:leave()
    self.users = self.users - 1
    self:rest()
end

--- Does the error say that the relay is lost? Then the next one who wants it gets another.
---@param err orrery.Error
---@return boolean
function Relay:is_lost(err)
    if err.code ~= "dead" or err.context ~= self.ctx.name then return false end
    forget(self.ctx.id)
    return true
end

--- It is in use for as long as that context lives.
---@param child orrery.Context
function Relay:serve(child)
    local stop
    stop = link.on_dead(function(id)
        if id ~= child.id then return end
        stop()
        self:leave()
    end)
end

return M
