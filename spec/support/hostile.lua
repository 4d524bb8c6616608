--- Trees with a hostile child in them, for specs: hostile_agent.lua, a sibling that is called meanwhile, and where the
--- hostile one is not a child of the script, the honest one that it is a child of. The log goes to a file.

local lfs = require "lfs"
local luassert = require "luassert"
local orrery = require "orrery"
local buffer = require "string.buffer"
local core = require "orrery.core"
local frames = require "spec.support.frames"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"

local hostile = { CONTROLLER = 1 }

local AGENT = lfs.currentdir() .. "/spec/support/hostile_agent.lua"
local WAIT = 20 -- seconds, for what comes at once

--- Whose children they are.
hostile.places = { "of the script", "behind an honest one" }

---@class spec.Tree
---@field guard? orrery.Context an honest context that the others are children of; nil: they are the script's
---@field sibling orrery.Context
---@field hostile orrery.Context
---@field me integer its id
---@field above integer id of its parent
---@field answers integer the handle where calls of the script are answered
---@field dir string
local Tree = {}
Tree.__index = Tree

local log_path

--- leak.guard, but for what a log that was changed to a file and back leaves open.
function hostile.guard()
    local stderr = lfs.symlinkattributes("/proc/self/fd/2", "target")
    leak.guard {
        timeout = 20,
        allow = { "thread %d+ 'orrery%-file'", "^file descriptor %d+ %-> " .. stderr:gsub("%p", "%%%0") .. "$" },
    }
end

---@param start integer as log_end said
---@return string text
function hostile.log_since(start) return (remote.slurp(log_path) or ""):sub(start) end

---@return integer
function hostile.log_end() return #(remote.slurp(log_path) or "") + 1 end

---@param ... any plain values, and tables of them
---@return string payload
function hostile.encode(...)
    local out = buffer.new()
    for i = 1, select("#", ...) do out:encode((select(i, ...))) end
    return out:tostring()
end

--- A frame for the parent of the hostile child.
---@param tree spec.Tree
---@param handle integer
---@param payload? string
---@param f? spec.Frame
---@return string bytes
function hostile.to_above(tree, handle, payload, f)
    local all = { dst = tree.above, src = tree.me, handle = handle }
    for key, value in pairs(f or {}) do all[key] = value end
    return frames.make(all, payload)
end

--- Opens one.
---@param opener orrery.Context|table a context, or orrery itself
---@param hello? string what it says first, instead of what an agent would
---@return orrery.Context
function hostile.launch(opener, hello)
    local argv = { "env", "LUA_PATH=" .. lfs.currentdir() .. "/?.lua", "luajit", AGENT, "{}" }
    if hello then
        local digits = hello:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
        table.insert(argv, #argv, digits)
    end
    local opts = { argv = argv, name = "hostile" }
    return opener == orrery and orrery.exec(opts) or opener:exec(opts)
end

--- Another hostile child, in the place of the one before.
function Tree:open_hostile()
    if self.hostile then self.hostile:close(0.1) end
    self.hostile = hostile.launch(self.guard or orrery)
    self.me = self.hostile.id
    self.answers = self.hostile:call "where"
end

---@param place string one of hostile.places
function Tree:open(place)
    self.dir = remote.directory()
    log_path = self.dir .. "/log"
    assert(core.log_open(log_path))
    if place ~= hostile.places[1] then
        self.guard = orrery.localhost { name = "honest" }
        self.sibling = self.guard:localhost { name = "sibling" }
    else
        self.sibling = orrery.localhost { name = "sibling" }
    end
    self.above = self.guard and self.guard.id or hostile.CONTROLLER
    self:open_hostile()
end

function Tree:close()
    self.hostile:close(0.1)
    self.sibling:close()
    if self.guard then self.guard:close() end
    assert(core.log_open "/dev/stderr")
    remote.remove(self.dir)
end

--- Starts a call to the sibling. Returns what lets it answer, and asserts that the answer is the right one.
---@return fun()
function Tree:under_way()
    local go = self.sibling:call(function()
        _G.go = require("orrery").receiver()
        return _G.go:sender()
    end)
    local call = self.sibling:call_async(function()
        local mine = _G.go
        return "right", mine:get(60)
    end)
    return function()
        go:send(7)
        luassert.are.same({ "right", 7 }, { call:get(WAIT) })
    end
end

--- Describes something with a tree, which is open while the tests run.
---@param name string
---@param place string
---@param body fun(tree: spec.Tree, place: string)
function hostile.describe(name, place, body)
    local busted = require "busted"
    busted.describe(name, function()
        local tree = setmetatable({}, Tree)
        busted.setup(function() tree:open(place) end)
        busted.teardown(function() tree:close() end)
        body(tree, place)
    end)
end

--- Describes the same of a hostile child in each place.
---@param what string what follows "a hostile child of the script"
---@param body fun(tree: spec.Tree, place: string)
function hostile.each(what, body)
    for _, place in ipairs(hostile.places) do
        hostile.describe("a hostile child " .. place .. what, place, body)
    end
end

return hostile
