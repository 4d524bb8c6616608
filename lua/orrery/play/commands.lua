--- What the resources command, shell and script have in common, and h:run.

local Error = require "orrery.error"
local sys = require "orrery.sys"

local M = {}

local function codes(value)
    if value == "any" then return true end
    if type(value) ~= "table" then return false, "must be a list of exit statuses, or \"any\"" end
    for _, code in ipairs(value) do
        if type(code) ~= "number" then return false, "must be a list of exit statuses, or \"any\"" end
    end
    return true
end

--- Options of all of them.
---@type orrery.play.Schema
M.options = {
    chdir = { type = "path", doc = "directory to run in" },
    creates = { type = "path", doc = "a path that it makes: where that is there, it is not run" },
    removes = { type = "path", doc = "a path that it takes away: where that is not there, it is not run" },
    stdin = { type = "string", doc = "what it reads; nothing without" },
    ok_codes = {
        type = { "list", "string" }, check = codes, doc = "exit statuses that are no failure: { 0 }, or \"any\"",
    },
    timeout = { type = "duration", doc = "time, after which it is ended, with all that it has started" },
    on_disconnect = {
        enum = { "kill", "finish" }, default = "kill", doc = "whether it may finish when the connection is lost",
    },
}

M.RETURNS = {
    code = "exit status; 128 + signal where one has ended it; nil where it was not run",
    signal = "the signal that has ended it",
    stdout = "what it said", stderr = "what it said on stderr",
}

--- Options of a resource: those of all, and its own.
---@param own orrery.play.Schema
---@return orrery.play.Schema
function M.with(own)
    for name, option in pairs(M.options) do own[name] = own[name] or option end
    return own
end

local function is_there(path) return sys.lstat(path) ~= nil end

--- It is to be run unless what it makes is there. What a command does, nobody can foresee.
---@param o table
---@return table? plan
---@return table out
function M.check(o)
    if o.creates and is_there(o.creates) then
        return nil, { stdout = "", stderr = "", message = o.creates .. " is there" }
    end
    if o.removes and not is_there(o.removes) then
        return nil, { stdout = "", stderr = "", message = o.removes .. " is not there" }
    end
    return { unknown = true }, { stdout = "", stderr = "" }
end

local function is_fine(o, code)
    if o.ok_codes == "any" then return true end
    for _, fine in ipairs(o.ok_codes or { 0 }) do
        if code == fine then return true end
    end
    return false
end

-- The step says what was run.
local function shorter(err)
    for _, how in ipairs { "exited with status ", "was killed by signal ", "ran longer than " } do
        local at = err.message:find(how, 1, true)
        if at then
            err.message = err.message:sub(at)
            return err
        end
    end
    return err
end

--- Runs it.
---@param o table
---@param argv (string|number)[]
---@param env orrery.play.Env
---@return table out
---Raises "command", with the output as `result`; "timeout".
function M.run(o, argv, env)
    local ok, r = pcall(env.run, argv, {
        cwd = o.chdir, stdin = o.stdin, timeout = o.timeout, on_disconnect = o.on_disconnect,
    })
    if not ok then
        local err = Error.from(r)
        r = err.result
        if not r or r.timed_out or not is_fine(o, r.code) then error(shorter(err), 0) end
    elseif not is_fine(o, r.code) then
        Error.raise {
            code = "command", message = "exited with status 0, which is not one of ok_codes", result = r,
        }
    end
    return { code = r.code, signal = r.signal, stdout = r.stdout, stderr = r.stderr }
end

--- Options of `command` for the arguments of h:run, which are those of ctx:run.
---@param argv (string|number)[]
---@param opts? table
---@return table given
---Raises "argument".
function M.given(argv, opts)
    if type(argv) ~= "table" then
        local message = "h:run takes a list: h:run({ \"tar\", \"xzf\", path })"
        Error.raise { code = "argument", at = Error.at(), message = message }
    end
    local given = { argv = argv }
    for key, value in pairs(opts or {}) do given[key] = value end
    if given.cwd then given.chdir, given.cwd = given.cwd, nil end
    if given.check == false then given.ok_codes = given.ok_codes or "any" end
    given.check = nil
    return given
end

return M
