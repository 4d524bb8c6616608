--- What an archive has left behind, written down on the target, so that the next run can tell whether it is still so.
--
-- The archive itself cannot be asked for each time: it may be large, and is at the controller. A list of what it held,
-- with sizes and times, tells the same, and also whether somebody has changed a file since.

local resource = require "orrery.play.resource"
local paths = require "orrery.play.paths"
local xdg = require "orrery.xdg"

local M = {}

local FIRST = "orrery unarchive 1"

---@class orrery.play.Unpacked one thing that came out of an archive
---@field path string below the destination
---@field type "file"|"directory"|"link"|string
---@field size integer
---@field mtime integer
---@field target? string

local function escape(text) return (text:gsub("[\\\n\t]", { ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t" })) end

local UNESCAPED = { ["\\"] = "\\", n = "\n", t = "\t" }
local function unescape(text) return (text:gsub("\\(.)", UNESCAPED)) end

--- The record as a text.
---@param key string what was unpacked, and how
---@param entries orrery.play.Unpacked[]
---@return string
function M.encode(key, entries)
    local lines = { FIRST, escape(key) }
    for _, e in ipairs(entries) do
        local fields = { e.type, ("%d"):format(e.size), ("%d"):format(e.mtime), escape(e.path) }
        if e.target then fields[5] = escape(e.target) end
        lines[#lines + 1] = table.concat(fields, "\t")
    end
    return table.concat(lines, "\n") .. "\n"
end

--- Reads one. One that is damaged is as none.
---@param text string
---@return string? key
---@return orrery.play.Unpacked[]? entries
function M.decode(text)
    local first, key, rest = text:match "^([^\n]*)\n([^\n]*)\n(.*)$"
    if first ~= FIRST or (rest ~= "" and rest:sub(-1) ~= "\n") then return nil end
    local entries = {}
    for line in rest:gmatch "([^\n]*)\n" do
        local kind, size, mtime, path, tail = line:match "^(%a+)\t(%d+)\t(%-?%d+)\t([^\t]+)(.*)$"
        if not kind then return nil end
        entries[#entries + 1] = {
            type = kind, size = tonumber(size), mtime = tonumber(mtime), path = unescape(path),
            target = tail ~= "" and unescape(tail:sub(2)) or nil,
        }
    end
    return unescape(key), entries
end

-- One for each archive and destination, where a user keeps such things.
local function file_of(name, env)
    local base = "/var/lib"
    if env.sys.getuid() ~= 0 then
        base = xdg.state() or "/nonexistent"
    end
    local directory = base .. "/orrery/unarchive"
    return directory, directory .. "/" .. env.sys.digest(name, "sha256"):sub(1, 32)
end

---@param name string of what was unpacked, and where
---@param env orrery.play.Env
---@return string? key
---@return orrery.play.Unpacked[]? entries
function M.load(name, env)
    local _, path = file_of(name, env)
    local text = env.sys.read(path)
    if text then return M.decode(text) end
end

--- Writes one down. Where that cannot be, the next run unpacks again, and a warning says so.
---@param name string
---@param key string
---@param entries orrery.play.Unpacked[]
---@param env orrery.play.Env
function M.save(name, key, entries, env)
    local directory, path = file_of(name, env)
    local ok, err = pcall(function()
        paths.make_directories(directory)
        resource.must("write", env.sys.write_atomic(path, M.encode(key, entries), { mode = 0x1a4 }))
    end)
    if ok then return end
    env.warn("what was unpacked could not be written down, so it will be again: " .. tostring(err.message))
end

--- The first that is not as it was left.
---@param destination string
---@param entries orrery.play.Unpacked[]
---@param env orrery.play.Env
---@return string? path
function M.first_that_differs(destination, entries, env)
    for _, e in ipairs(entries) do
        local path = destination .. "/" .. e.path
        local st = e.type == "directory" and env.sys.stat(path) or env.sys.lstat(path)
        local same = st and st.type == e.type and st.target == e.target
        if same and e.type == "file" then same = st.size == e.size and math.floor(st.mtime) == e.mtime end
        if not same then return e.path end
    end
end

return M
