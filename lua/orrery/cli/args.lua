--- Reads command lines: options in both styles, each followed by what it belongs to.
--
-- Reading stops at the first word that is no option, or behind `--`: the rest belongs to a script
-- or to a remote command, which have options of their own.

local Error = require "orrery.error"
local options = require "orrery.options"

local M = {}

---@class orrery.cli.Option
---@field name string without the dashes
---@field short? string one letter
---@field value? "text"|"seconds"|"count"|"port" what follows it; nil: nothing
---@field many? boolean may be repeated: its values are a list; without `value`: they are counted

--- Raises what the user did wrong on the command line; one line.
---@param command string? the subcommand
---@param text string
function M.fail(command, text)
    local name = command and "orrery " .. command or "orrery"
    Error.raise { code = "usage", message = ("%s: %s; see '%s --help'"):format(name, text, name) }
end

local readers = {}

function readers.text(text)
    if text ~= "" then return text end
    return nil, "must not be empty"
end

function readers.seconds(text)
    local number = tonumber(text)
    if number and number > 0 and number < 1e9 then return number end
    return nil, "must be a number of seconds greater than 0"
end

function readers.count(text)
    local number = text:match("^%d+$") and tonumber(text)
    if number and number >= 1 and number < 1e9 then return number end
    return nil, "must be a whole number, 1 or more"
end

function readers.port(text)
    local number = text:match("^%d+$") and tonumber(text)
    if number and number >= 1 and number <= 65535 then return number end
    return nil, "must be a port: 1 to 65535"
end

---@class orrery.cli.Reader
---@field words string[]
---@field at integer
---@field command? string
---@field known orrery.cli.Option[]
---@field opts table
local Reader = {}
Reader.__index = Reader

local function find(known, field, value)
    for _, option in ipairs(known) do
        if option[field] == value then return option end
    end
end

function Reader:store(option, shown, text)
    local opts, value = self.opts, true
    if option.value then
        local why
        value, why = readers[option.value](text)
        if value == nil then
            M.fail(self.command, ("option '%s' %s, not '%s'"):format(shown, why, text))
        end
    end
    if not option.many then
        opts[option.name] = value
    elseif option.value then
        opts[option.name] = opts[option.name] or {}
        table.insert(opts[option.name], value)
    else
        opts[option.name] = (opts[option.name] or 0) + 1
    end
end

function Reader:following(shown)
    self.at = self.at + 1
    local text = self.words[self.at]
    if not text then M.fail(self.command, ("option '%s' needs a value"):format(shown)) end
    return text
end

function Reader:unknown(shown)
    local names = {}
    for i, option in ipairs(self.known) do names[i] = "--" .. option.name end
    local near = #shown > 2 and #shown <= 64 and options.nearest(shown, names)
    local hint = near and (" (did you mean '%s'?)"):format(near) or ""
    M.fail(self.command, ("unknown option '%s'%s"):format(shown, hint))
end

function Reader:long(word)
    local name, text = word:match("^%-%-([^=]+)=(.*)$")
    name = name or word:sub(3)
    local option, shown = find(self.known, "name", name), "--" .. name
    if not option then self:unknown(shown) end
    if text and not option.value then
        M.fail(self.command, ("option '%s' takes no value"):format(shown))
    end
    self:store(option, shown, option.value and (text or self:following(shown)))
end

-- "-vv", "-Hweb1", "-vH web1".
function Reader:short(word)
    for i = 2, #word do
        local letter = word:sub(i, i)
        local option, shown = find(self.known, "short", letter), "-" .. letter
        if not option then self:unknown(shown) end
        if option.value then
            local text = word:sub(i + 1)
            return self:store(option, shown, text ~= "" and text or self:following(shown))
        end
        self:store(option, shown)
    end
end

--- Reads options.
---@param words string[]
---@param from integer the first word to look at
---@param known orrery.cli.Option[]
---@param opts table the values go in here, by name
---@param command? string the subcommand, for messages
---@return integer at the first word that is not the options'
---Raises "usage".
function M.read(words, from, known, opts, command)
    local reader = setmetatable(
        { words = words, at = from, known = known, opts = opts, command = command }, Reader)
    while words[reader.at] do
        local word = words[reader.at]
        if word == "--" then return reader.at + 1 end
        if word == "-" or word:sub(1, 1) ~= "-" then break end
        if word:sub(1, 2) == "--" then reader:long(word) else reader:short(word) end
        reader.at = reader.at + 1
    end
    return reader.at
end

--- Words from a position on.
---@param words string[]
---@param from integer
---@return string[]
function M.rest(words, from)
    local rest = {}
    for i = from, #words do rest[#rest + 1] = words[i] end
    return rest
end

return M
