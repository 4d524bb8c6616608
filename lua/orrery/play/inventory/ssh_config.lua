--- The hosts that ssh_config(5) files name: those of Host lines, patterns left out. How they are reached, orrery.ssh
--- reads for itself when it connects.

local glob = require "orrery.play.inventory.glob"
local Model = require "orrery.play.inventory.model"
require "orrery.core" -- it brings orrery.sys along
local sys = require "orrery.sys"
local system = require "orrery.ssh_system"

local M = {}

local DEPTH = 16 -- of files that include others, as in ssh(1)

-- "Host a \"b c\"" to "host", { "a", "b c" }.
local function words_of(line)
    local keyword, rest = line:match "^%s*([%w]+)%s*=?%s*(.-)%s*$"
    if not keyword then return nil end
    local words, at = {}, 1
    while at <= #rest do
        local text, behind = rest:match('^"([^"]*)"()', at)
        if not text then text, behind = rest:match("^([^%s\"]+)()", at) end
        if not text or text:sub(1, 1) == "#" then break end
        words[#words + 1] = text
        at = rest:match("^%s*()", behind)
    end
    return keyword:lower(), words
end

---@class orrery.inventory.SshReader
---@field model orrery.inventory.Model
---@field default boolean it is the file that orrery.ssh reads anyway
---@field path string
---@field directory string where relative includes are
local Reader = {}
Reader.__index = Reader

function Reader:hosts(words, from)
    for _, name in ipairs(words) do
        if not glob.is_pattern(name) and name:sub(1, 1) ~= "!" then
            local known = self.model.hosts[name] ~= nil
            local host = self.model:host(name, from)
            if not known and not self.default then Model.set(host, "ssh.config", self.path, from, true) end
        end
    end
end

function Reader:include(words, depth)
    for _, name in ipairs(words) do
        local home = system.user()
        local path = name:gsub("^~/", function() return home .. "/" end)
        if path:sub(1, 1) ~= "/" then path = self.directory .. "/" .. path end
        for _, file in ipairs(glob.expand(path)) do self:file(file, depth + 1) end
    end
end

function Reader:file(path, depth)
    if depth > DEPTH then Model.fail(path, ("more than %d files that include each other"):format(DEPTH)) end
    local text, why = sys.read(path)
    if not text then
        if depth > 0 then return end -- ssh(1) skips what it cannot read, too
        Model.fail(nil, "cannot read the inventory: " .. why)
    end
    local number = 0
    for line in (text .. "\n"):gmatch "(.-)\r?\n" do
        number = number + 1
        local keyword, words = words_of(line)
        if keyword == "host" then
            self:hosts(words, ("%s:%d"):format(path, number))
        elseif keyword == "include" then
            self:include(words, depth)
        end
    end
end

--- Reads a file, and those that it includes.
---@param model orrery.inventory.Model
---@param path? string default: ~/.ssh/config
function M.read(model, path)
    local home = system.user()
    local default = home .. "/.ssh/config"
    path = path or default
    local system_wide = path:find "^/etc/ssh/" ~= nil
    setmetatable({
        model = model, path = path, default = path == default or system_wide,
        directory = system_wide and "/etc/ssh" or home .. "/.ssh",
    }, Reader):file(path, 0)
end

return M
