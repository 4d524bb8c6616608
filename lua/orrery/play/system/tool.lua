--- The system's own tools: where they are, and what they say when they fail.

local resource = require "orrery.play.resource"

local M = {}

-- An agent that was started for somebody without /sbin in their PATH still needs what is there.
local DIRECTORIES = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin" }
local PATH = table.concat(DIRECTORIES, ":")

--- Where a program is.
---@param env orrery.play.Env
---@param name string
---@return string? path nil: it is not there
function M.find(env, name)
    if name:sub(1, 1) == "/" then return env.sys.access(name, "x") and name or nil end
    for _, directory in ipairs(DIRECTORIES) do
        local path = directory .. "/" .. name
        local st = env.sys.access(path, "x") and env.sys.stat(path)
        if st and st.type ~= "directory" then return path end
    end
end

--- The first of several programs that is there.
---@param env orrery.play.Env
---@param ... string
---@return string? name, string? path
function M.first(env, ...)
    for _, name in ipairs { ... } do
        local path = M.find(env, name)
        if path then return name, path end
    end
end

--- Where a program is, or a failure that says what it is wanted for.
---@param env orrery.play.Env
---@param name string
---@param what string "to set up accounts"
---@return string path
---Raises "resource".
function M.need(env, name, what)
    return M.find(env, name) or resource.fail(("there is no %s on this machine, which is needed %s"):format(name, what))
end

--- A command line of parts that may be missing: false and nil are left out, lists are taken apart.
---@param ... string|number|table|false|nil
---@return (string|number)[]
function M.words(...)
    local words = {}
    for i = 1, select("#", ...) do
        local part = select(i, ...)
        if type(part) == "table" then
            for _, each in ipairs(part) do words[#words + 1] = each end
        elseif part then
            words[#words + 1] = part
        end
    end
    return words
end

--- Runs a program to its end, whatever that is; also when the connection ends, since what is cut in the middle may be
--- worse than what is not begun.
---@param env orrery.play.Env
---@param argv (string|number)[]
---@param opts? orrery.play.RunOptions
---@return orrery.CommandResult
function M.run(env, argv, opts)
    local words, all = { unpack(argv) }, { check = false, on_disconnect = "finish" }
    words[1] = M.find(env, argv[1]) or argv[1]
    for key, value in pairs(opts or {}) do all[key] = value end
    all.env = { PATH = PATH }
    for key, value in pairs(opts and opts.env or {}) do all.env[key] = value end
    return env.run(words, all)
end

--- Runs a program that only looks; its lines are not for the view. An absent program is as one that has failed.
---@param env orrery.play.Env
---@param argv (string|number)[]
---@param opts? orrery.play.RunOptions
---@return orrery.CommandResult
function M.look(env, argv, opts)
    if not M.find(env, argv[1]) then return { code = 127, stdout = "", stderr = argv[1] .. ": not found" } end
    local all = { live = false, on_disconnect = "kill" }
    for key, value in pairs(opts or {}) do all[key] = value end
    return M.run(env, argv, all)
end

local MOST_LINES = 3

--- Why a program has failed: the end of what it said.
---@param result orrery.CommandResult
---@return string
function M.reason(result)
    if result.timed_out then return "it took too long" end
    local text = result.stderr and result.stderr:match "%S" and result.stderr or result.stdout or ""
    local lines = {}
    for line in text:gmatch "[^\n]+" do
        if line:match "%S" then lines[#lines + 1] = line:match "^%s*(.-)%s*$" end
    end
    local said = table.concat(lines, "; ", math.max(1, #lines - MOST_LINES + 1))
    return said ~= "" and said or ("status %d"):format(result.code)
end

--- Runs a program that must succeed.
---@param env orrery.play.Env
---@param what string "add the user app": the failure is "cannot add the user app: ..."
---@param argv (string|number)[]
---@param opts? orrery.play.RunOptions
---@return orrery.CommandResult
---Raises "resource", with `result`.
function M.must(env, what, argv, opts)
    local result = M.run(env, argv, opts)
    if result.code ~= 0 then
        resource.fail {
            message = ("cannot %s: %s"):format(what, M.reason(result)),
            result = { code = result.code, stdout = result.stdout, stderr = result.stderr },
        }
    end
    return result
end

--- Does several things in order. If one fails, those before it that can be undone are, and the error names the others.
---@param list { [1]: string, [2]: fun(), undo?: fun() }[] what it is, in a word, and how it is done
---Raises what the one that failed has raised.
function M.steps(list)
    for i, step in ipairs(list) do
        local ok, why = pcall(step[2])
        if not ok then
            local done = {}
            for j = i - 1, 1, -1 do
                local undo = list[j].undo
                if not (undo and pcall(undo)) then table.insert(done, 1, list[j][1]) end
            end
            if #done > 0 and type(why) == "table" then
                why.message = ("%s; done before that: %s"):format(why.message, table.concat(done, ", "))
            end
            error(why, 0)
        end
    end
end

return M
