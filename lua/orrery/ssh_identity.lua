--- Key files that a script or a command line names.
--
-- One that is not there is left out, as by ssh(1), and as there that is said: it was meant to let somebody in. Those of
-- the configuration, and the usual ones, need not exist.

local core = require "orrery.core"
local sys = require "orrery.sys"
local system = require "orrery.ssh_system"

local M = {}

local LOG_WARN = 1

-- Where an agent has the key, its public half is enough. What cannot be read for another reason, the login says.
local function is_missing(path)
    local found, _, code = sys.stat(path)
    return not found and code == "ENOENT" and not system.exists(path .. ".pub")
end

local function add_missing(missing, paths)
    for _, path in ipairs(paths or {}) do
        if is_missing(path) then missing[#missing + 1] = path end
    end
end

--- Those that are not there, of a host and of jump hosts that stand in tables.
---@param opts orrery.SshOptions checked
---@return string[] paths
function M.missing(opts)
    local missing = {}
    add_missing(missing, opts.identity)
    for _, hop in ipairs(type(opts.jump) == "table" and opts.jump or {}) do
        if type(hop) == "table" then add_missing(missing, hop.identity) end
    end
    return missing
end

-- Each file once, for a hundred hosts that it is meant for.
local said = {}

--- Says which are left out.
---@param missing string[]
function M.warn(missing)
    for _, path in ipairs(missing) do
        if not said[path] then
            said[path] = true
            local text = "the key file %s (option 'identity') does not exist, and is left out"
            core.log(LOG_WARN, "ssh", text:format(path))
        end
    end
end

local IS_LOGIN = { auth = true, credentials = true }

--- Says of an error why there was one key less to try.
---@param err orrery.Error
---@param missing string[]
---@return orrery.Error err the same
function M.explain(err, missing)
    if not IS_LOGIN[err.code] or not missing[1] then return err end
    local text = missing[2] and "the key files %s (option 'identity') do not exist"
        or "the key file %s (option 'identity') does not exist"
    err.message = ("%s; %s"):format(err.message, text:format(table.concat(missing, ", ")))
    return err
end

return M
