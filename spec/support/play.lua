--- Resources in specs: hosts to apply them to, and what must hold for every one of them.
--
--     local support = require "spec.support.play"
--     support.each(function(target)
--         it("makes a directory", function()
--             support.converges(target, function(h) return h:directory { path = target.dir .. "/a" } end)
--         end)
--     end)

local play = require "orrery.play"
local remote = require "spec.support.remote"
local sys = require "orrery.sys"

local support = {}

--- A host for specs.
---@param ctx orrery.Context
---@param settings? orrery.play.Settings check, diff ...
---@param opts? orrery.play.HostOptions
---@return orrery.play.Host h
---@return table[] events all that it tells, as they come
function support.host(ctx, settings, opts)
    local events, all = {}, {}
    for key, value in pairs(opts or {}) do all[key] = value end
    all.settings = settings
    all.sink = function(event) events[#events + 1] = event end
    return play.host(ctx, all), events
end

--- As remote.each: a child of this process, a host of the lab, and one with only busybox. The target's `h` is there
--- while the tests run.
---@param body fun(target: { name: string, ctx: orrery.Context, dir: string, seen: string, h: orrery.play.Host })
function support.each(body)
    remote.each(function(target)
        require("busted").setup(function() target.h, target.events = support.host(target.ctx) end)
        body(target)
    end)
end

local function describe(path)
    local st = assert(sys.lstat(path))
    local what = st.type == "file" and sys.hash(path, "blake2b") or st.target or ""
    local size = st.type == "directory" and "" or st.size
    return ("%s %04o %d:%d %s %.6f %s"):format(st.type, st.mode, st.uid, st.gid, size, st.mtime, what)
end

local function add_listing(found, path, below, except)
    if except and except(below) then return end
    found[below] = describe(path)
    if not found[below]:find("^directory") then return end
    for _, name in ipairs(assert(sys.list(path))) do
        add_listing(found, path .. "/" .. name, below .. "/" .. name, except)
    end
end

--- All that is below a path of this machine: kind, mode, owner, size, time, content of each.
---@param path string
---@param except? fun(below: string): boolean? what to pass over: "/run", relative to the path
---@return table<string, string>
function support.listing(path, except)
    local found = {}
    add_listing(found, path, "", except)
    return found
end

--- How two listings differ, for people.
---@return string text "" where they do not
function support.difference(before, after)
    local lines = {}
    for path, what in pairs(before) do
        if after[path] ~= what then lines[#lines + 1] = ("%s: %s -> %s"):format(path, what, after[path] or "gone") end
    end
    for path, what in pairs(after) do
        if not before[path] then lines[#lines + 1] = ("%s: new, %s"):format(path, what) end
    end
    table.sort(lines)
    return table.concat(lines, "\n")
end

--- Runs a function, after which all below a path must be as before: content, modes, owners, and times, which tell that
--- a temporary file was there.
---@param path string as this process sees it
---@param fn fun(): any
---@param except? fun(below: string): boolean?
---@return any ... what fn returns
function support.unchanged(path, fn, except)
    local before = support.listing(path, except)
    local results = { fn() }
    require("luassert").are.equal("", support.difference(before, support.listing(path, except)))
    return unpack(results)
end

--- Runs something in check mode. It must change nothing in the target's directory (or in `where`, another path as this
--- process sees it).
---@param target table
---@param fn fun(h: orrery.play.Host): any
---@param where? string
---@return any ... what fn returns
---@return table[] events
function support.unchanged_in_check_mode(target, fn, where)
    local h, events = support.host(target.ctx, { check = true, diff = true })
    local result = support.unchanged(where or target.seen, function() return fn(h) end)
    return result, events
end

--- What a resource must do when something differs: say so in check mode and change nothing; mend it; find nothing to do
--- when asked again.
---@param target table
---@param fn fun(h: orrery.play.Host): orrery.play.Result
---@param opts? { unknown: boolean? } check mode cannot tell
---@return orrery.play.Result result of the run that has mended it
---@return orrery.play.Result foreseen of the one in check mode
function support.converges(target, fn, opts)
    local assert = require "luassert"
    local foreseen = support.unchanged_in_check_mode(target, fn)
    if opts and opts.unknown then
        assert.is_true(foreseen.unknown)
    else
        assert.is_true(foreseen.changed, "check mode foresees no change")
    end
    local result = fn(target.h)
    assert.is_true(result.changed, "nothing was changed")
    local again = support.unchanged(target.seen, function() return fn(target.h) end)
    assert.is_false(again.changed, "the second run has changed something")
    return result, foreseen
end

--- Something that is as it should be: nothing changes, neither in check mode.
---@param target table
---@param fn fun(h: orrery.play.Host): orrery.play.Result
---@return orrery.play.Result
function support.stays(target, fn)
    local assert = require "luassert"
    local foreseen = support.unchanged_in_check_mode(target, fn)
    assert.is_false(foreseen.changed, "check mode foresees a change")
    local result = support.unchanged(target.seen, function() return fn(target.h) end)
    assert.is_false(result.changed, "something was changed")
    return result
end

-- A temporary file may have been in a directory.
local function without_times(listing)
    for path, what in pairs(listing) do
        if what:find "^directory" then listing[path] = what:gsub("%d+%.%d+", "") end
    end
    return listing
end

--- Something that must fail, and leave the target's directory as it was.
---@param target table
---@param fn fun(h: orrery.play.Host): any
---@return orrery.Error
function support.fails(target, fn)
    local before = without_times(support.listing(target.seen))
    local err = remote.failure(fn, target.h)
    require("luassert").are.equal("", support.difference(before, without_times(support.listing(target.seen))))
    return err
end

return support
