--- Hosts for specs of resources that change the system itself: all that is written on such a host can be seen, so
--- "unchanged" means the whole of it.

local lab = require "spec.support.lab"
local remote = require "spec.support.remote"
local support = require "spec.support.play"

local system = {}

-- What goes on without us: logins, logs, and the agent's own.
local function passed_over(below)
    return below:match "^/run/user" or below:match "^/var/log" or below:match "^/run/systemd" or below:match "^/proc"
        or below:match "^/sys" or below:match "^/dev" or below:match "%.cache" or below:match "^/tmp/spec%."
end

-- Where the lab keeps what a host has written: the upper layer of its overlay, or its whole small disk.
local function disk(name)
    return lab.file("host/" .. name .. (name == "foreign" and "/root" or "/upper"))
end

---@class spec.System
---@field name string
---@field ctx orrery.Context
---@field h orrery.play.Host
---@field seen string all that the host has written, as this process sees it

--- Describes the same for hosts of the lab. The body's target is connected while the tests run.
---@param names string[] "h1", "foreign"
---@param body fun(target: spec.System)
---@param open? fun(name: string): orrery.Context how to get there
function system.each(names, body, open)
    local busted = require "busted"
    for _, name in ipairs(names) do
        busted.describe("[" .. name .. "]", function()
            if not lab.need(2, { foreign = true, isolated = true }) then return end
            local target = { name = name }
            busted.setup(function()
                target.ctx = (open or remote.open)(name)
                target.h, target.events = support.host(target.ctx)
                target.seen = disk(name)
                target.root = lab.root(name)
            end)
            busted.teardown(function() target.ctx:close() end)
            body(target)
        end)
    end
end

--- Runs a line of sh there, as root, which must succeed.
---@param target spec.System
---@param line string
---@return string stdout
function system.sh(target, line)
    local code, stdout, stderr = lab.exec(target.name, line)
    if code ~= 0 then error(("%s on %s: %s"):format(line, target.name, stderr), 2) end
    return stdout
end

--- The content of a file there, nil: none.
---@param target spec.System
---@param path string
---@return string?
function system.read(target, path)
    -- By way of the host, for its links are its own.
    local code, stdout = lab.exec(target.name, { "cat", path })
    return code == 0 and stdout or nil
end

---@param target spec.System
---@param path string
---@param text string
---@param mode? string "755"
function system.write(target, path, text, mode)
    system.sh(target, "mkdir -p " .. (path:match "^(.+)/[^/]*$" or "/"))
    remote.write(target.root .. path, text)
    if mode then system.sh(target, ("chmod %s %s"):format(mode, path)) end
end

-- Runs a function with the listing narrowed to what the resources could have touched.
local function whole(fn)
    local listing = support.listing
    support.listing = function(path, except)
        return listing(path, function(below) return passed_over(below) or except and except(below) end)
    end
    local results = { pcall(fn) }
    support.listing = listing
    if not results[1] then error(results[2], 0) end
    return unpack(results, 2)
end

--- As the functions of spec.support.play, of a whole host.
for _, name in ipairs { "converges", "stays", "fails", "unchanged_in_check_mode" } do
    system[name] = function(...)
        local arguments = { ... }
        return whole(function() return support[name](unpack(arguments)) end)
    end
end

--- Puts a stand-in for a program onto a host: it writes how it was called into a file, and then runs `body`.
---@param target spec.System
---@param name string
---@param body? string lines of sh; "$*" are its arguments
---@return fun(): string[] calls how it was called since the last time that somebody asked
function system.stand_in(target, name, body)
    local log = "/var/log/stand-in." .. name
    system.write(target, log, "") -- there before any comparison of what is there
    system.write(target, "/usr/local/bin/" .. name, ("#!/bin/sh\necho \"$*\" >>%s\n%s\n"):format(log, body or ""),
        "755")
    return function()
        local calls = {}
        for line in (system.read(target, log) or ""):gmatch "[^\n]+" do calls[#calls + 1] = line end
        system.sh(target, ": >" .. log)
        return calls
    end
end

--- Takes stand-ins away.
---@param target spec.System
---@param ... string
function system.remove_stand_ins(target, ...)
    for _, name in ipairs { ... } do
        system.sh(target, ("rm -f /usr/local/bin/%s /var/log/stand-in.%s"):format(name, name))
    end
end

--- The text of a plan's or result's diff of one thing.
---@param result orrery.play.Result
---@param what string
---@return table? part
function system.part(result, what)
    for _, part in ipairs(result.diff or {}) do
        if part.what == what then return part end
    end
end

return system
