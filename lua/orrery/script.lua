--- Runs a playbook as a program: `arg`, modules next to the file, an end that waits for its tasks.

local Error = require "orrery.error"
local sched = require "orrery.sched"

local M = {}

local function directory(path) return path:match("^(.*)/[^/]*$") or "." end

local function load_file(path)
    local file, why = io.open(path, "rb")
    if not file then Error.raise { code = "file", message = "cannot read " .. why } end
    file:close()
    local dir = directory(path)
    package.path = ("%s/?.lua;%s/?/init.lua;%s"):format(dir, dir, package.path)
    return loadfile(path)
end

local function run(chunk, problem, args)
    rawset(_G, "arg", args)
    if not chunk then Error.raise { code = "lua", message = problem } end
    local ok, err = xpcall(chunk, Error.handler, unpack(args))
    if not ok then error(err, 0) end
    sched.drain()
end

--- Runs the file. Blocks until it and all its tasks have ended.
---@param path string "-" is stdin
---@param args string[] becomes `arg`, with the path at 0
---Raises what the script raised, as an Error; "file" where it cannot be read, "lua" for its syntax.
function M.run(path, args)
    args[0] = path
    local chunk, problem
    if path == "-" then chunk, problem = loadfile() else chunk, problem = load_file(path) end
    run(chunk, problem, args)
end

--- Runs a text in the same way. It has `orrery`.
---@param text string
---@param name string what errors call it
---@param args string[] becomes `arg`
function M.run_text(text, name, args)
    local chunk, problem = load('local orrery = require "orrery"; ' .. text, "=" .. name)
    run(chunk, problem, args)
end

return M
