--- What a program of this machine says, for those who need it to go on. Others run in the meantime.

local core = require "orrery.core"
local link = require "orrery.link"
local sched = require "orrery.sched"

local M = {}

-- It says that it failed by its status, and never by an error of its own.
local await = link.answers(core.handle.RUN, link.service_error)

---@type table<string, orrery.Future> by command
local running = {}

local BY_SIGINT = 128 + 2
local HEARD = 0.2 -- seconds

-- Ctrl-C is for a whole process group, which a program is in until it has one of its own. So it was for us as well, and
-- we hear of it in a moment.
local function hear(future)
    local interruption = sched.future(future:describe())
    local ok, err = pcall(interruption.get, interruption, HEARD)
    if not ok and err.code ~= "timeout" then error(err, 0) end
end

--- Runs a program, once for all that ask for the same at the same time.
---@param argv string[]
---@return string output what it wrote on both of its outputs
---@return integer status as a shell sees it; 127 where there is no such program
---Raises "cancelled", "interrupted".
function M.run(argv)
    local key = table.concat(argv, "\0")
    local future = running[key]
    if not future then
        future = sched.future("the output of " .. table.concat(argv, " "))
        running[key] = future
        future:on_done(function() running[key] = nil end)
        await(core.capture { argv = argv }, future)
    end
    local _, payload = future:get()
    local status, output = core.unpack("4*", payload)
    if status == BY_SIGINT then hear(future) end
    return output, status
end

return M
