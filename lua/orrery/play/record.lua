--- The record of a run: a file with a line of JSON for each thing that happened, written before the next one begins.
--
--     $XDG_STATE_HOME/orrery/runs/<playbook>/<time>.jsonl          (else below ~/.local/state)
--
-- A line goes to the kernel at once, so it is there after kill -9. It is synced to the disk at the end of the run only:
-- after a power failure of this machine the last lines may be missing, and steps are made to be repeated.
-- The directory has mode 0700 and the files 0600. Output lines and diffs are not in it, and secrets are not either.

local history = require "orrery.play.history"
local xdg = require "orrery.xdg"

local M = {}

local KEEP = 50           -- records of a playbook
local LONGEST_TEXT = 2000 -- bytes of a message or an error

--- Events that it keeps, and of these the fields that it leaves out.
local KEPT = {
    run_start = {}, run_end = {}, play_start = {}, play_end = {}, host_start = {}, host_end = {},
    step_start = {}, step_end = { diff = true }, message = {},
    begin = {}, at = {}, notify = {}, paid = {}, ending = {}, once = {}, ["end"] = {},
}

-- Names ---------------------------------------------------------------------------------------------

-- FNV-1a in two halves: only to tell playbooks of the same name apart.
local function fingerprint(text)
    local hash = 2166136261
    for i = 1, #text do
        hash = bit.bxor(hash, text:byte(i)) % 2 ^ 32
        hash = (hash * 403 + (hash % 2 ^ 8) * 2 ^ 24) % 2 ^ 32
    end
    return ("%08x"):format(hash)
end

--- A path without "." and "..", from the root.
---@param path string
---@param cwd string
---@return string
function M.absolute(path, cwd)
    if path:sub(1, 1) ~= "/" then path = cwd .. "/" .. path end
    local parts = {}
    for part in path:gmatch "[^/]+" do
        if part == ".." then
            table.remove(parts)
        elseif part ~= "." then
            parts[#parts + 1] = part
        end
    end
    return "/" .. table.concat(parts, "/")
end

--- What a playbook's directory is called.
---@param path string absolute
---@return string "site-1f2e3d4c"
function M.id(path)
    local name = path:match "([^/]*)$":gsub("%.lua$", ""):gsub("[^%w_-]", "_")
    return ("%s-%s"):format(name:sub(1, 60), fingerprint(path))
end

---@return string? directory nil where there is no home
function M.base()
    local state = xdg.state()
    return state and state .. "/orrery/runs"
end

local function record_name()
    local now = require("orrery.sys").time()
    local file = io.open "/proc/self/stat"
    local pid = file and file:read "*l":match "^%d+" or "0"
    if file then file:close() end
    return ("%s.%06d-%s.jsonl"):format(os.date("!%Y%m%d-%H%M%S", math.floor(now)), now % 1 * 1e6, pid)
end

-- Reading -------------------------------------------------------------------------------------------

local function json() return require "orrery.json" end

local function sorted_records(sys, dir)
    local names = {}
    for _, name in ipairs(sys.list(dir) or {}) do
        if name:find "^%d+%-%d+%.%d+%-%d+%.jsonl$" then names[#names + 1] = name end
    end
    table.sort(names)
    return names
end

--- What a record says. Its last line may be cut short.
---@param path string
---@return orrery.play.History? history nil where there is none
function M.read(path)
    local file = io.open(path, "rb")
    if not file then return nil end
    local found = history.new()
    for line in file:lines() do
        local ok, value = pcall(json().decode, line)
        if ok and type(value) == "table" then found:add(value) end
    end
    file:close()
    found:ends()
    return found.lines > 0 and found or nil
end

--- The last run of a playbook with the same inventory.
---@param dir string of the playbook
---@param inventory? string
---@return orrery.play.History? history, string? path
function M.last(dir, inventory)
    local sys = require "orrery.sys"
    local names = sorted_records(sys, dir)
    for i = #names, 1, -1 do
        local path = dir .. "/" .. names[i]
        local found = M.read(path)
        local head = found and found.head
        if head and head.version == 1 and (head.inventory or "") == (inventory or "") then
            return found, path
        end
    end
end

-- Writing -------------------------------------------------------------------------------------------

---@class orrery.play.Record
---@field path string
---@field package file? file* nil once it cannot be written
---@field package warn fun(text: string)
local Record = {}
Record.__index = Record

function Record:give_up(why)
    if self.file then pcall(self.file.close, self.file) end
    self.file = nil
    self.warn(("this run is not recorded any further, so --failed will not know of it: %s"):format(tostring(why)))
end

local function short(text)
    if type(text) ~= "string" or #text <= LONGEST_TEXT then return text end
    return text:sub(1, LONGEST_TEXT) .. "..."
end

local function error_fields(err)
    if type(err) ~= "table" then return short(tostring(err)) end
    return { code = err.code, message = short(err.message), at = err.at, context = err.context, route = err.route }
end

-- Only what is plain, and short.
local function kept(event, left_out)
    local line = {}
    for key, value in pairs(event) do
        if key == "error" then
            line[key] = error_fields(value)
        elseif not left_out[key] and type(value) ~= "function" and type(value) ~= "userdata" then
            line[key] = short(value)
        end
    end
    return line
end

--- Writes what happened, if that is to be kept.
---@param event table
function Record:event(event)
    local left_out = KEPT[event.event]
    if not self.file or not left_out then return end
    local ok, text = pcall(json().encode, kept(event, left_out))
    if not ok then return self:give_up(text) end
    local written, why = self.file:write(text, "\n")
    if written then written, why = self.file:flush() end
    if not written then self:give_up(why) end
end

--- The run is over.
function Record:close()
    if not self.file then return end
    local file = self.file
    self.file = nil
    pcall(file.close, file)
    local sys = require "orrery.sys"
    if sys.fsync then pcall(sys.fsync, self.path) end
end

local function make_directory(sys, path)
    local at = ""
    for part in path:gmatch "[^/]+" do
        at = at .. "/" .. part
        if not sys.stat(at) then
            local ok, why, code = sys.mkdir(at, tonumber("700", 8))
            if not ok and code ~= "EEXIST" then return nil, ("cannot make %s: %s"):format(at, tostring(why)) end
        end
    end
    return true
end

local function prune(sys, dir)
    local names = sorted_records(sys, dir)
    for i = 1, #names - KEEP do sys.unlink(dir .. "/" .. names[i]) end
end

local function create(sys, dir)
    local ok, why = make_directory(sys, dir)
    if not ok then return nil, why end
    prune(sys, dir)
    local path = dir .. "/" .. record_name()
    local made, problem = sys.write_atomic(path, "", { mode = tonumber("600", 8) })
    if not made then return nil, ("cannot write %s: %s"):format(path, tostring(problem)) end
    local file
    file, problem = io.open(path, "ab")
    return file, problem, path
end

--- Begins a record. Where that cannot be, there is one that keeps nothing, after a warning.
---@param dir? string of the playbook
---@param warn fun(text: string)
---@return orrery.play.Record
function M.open(dir, warn)
    local self = setmetatable({ warn = warn }, Record)
    if not dir then
        warn "this run is not recorded, so --failed will not know of it: there is no home directory"
        return self
    end
    local ok, file, why, path = pcall(create, require "orrery.sys", dir)
    if not ok then file, why = nil, file end
    self.file, self.path = file, path
    if not file then
        warn(("this run is not recorded, so --failed will not know of it: %s"):format(tostring(why)))
    end
    return self
end

return M
