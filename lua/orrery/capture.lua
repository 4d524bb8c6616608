--- What a program of this machine says, for those who need it to go on. Others run in the meantime.

local core = require "orrery.core"
local link = require "orrery.link"
local sched = require "orrery.sched"

local M = {}

-- It says that it failed by its status, and never by an error of its own.
local await = link.answers(core.handle.RUN, link.service_error)

---@type table<string, orrery.Future> by command
local running = {}

--- Runs a program, once for all that ask for the same at the same time.
---@param argv string[]
---@return string output what it wrote on both of its outputs
---@return integer status as a shell sees it; 127 where there is no such program
---Raises "cancelled".
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
    return output, status
end

return M
