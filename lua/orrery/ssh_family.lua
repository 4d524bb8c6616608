--- Hosts for which `ssh -G` says the same, but for their name: it is asked for two of them, and not for each.
--
-- To start ssh costs 5 ms of CPU time, more than all else that opening a host costs here. ssh itself tells (-v)
-- which files it has read. Where nothing in them looks at a host but the patterns of `Host`, two hosts that the
-- same patterns match have the same configuration; so have two with a block of their own each that differ in
-- HostName alone. Whether their name gets into it all the same (%h) is seen where they differ: then each of their
-- kind is asked for. So it is wherever something else is unusual: a Match, canonical names, quotes, capital
-- letters in a name.

local sched = require "orrery.sched"

local M = {}

---@class orrery.SshFamily the hosts of one command line
---@field patterns? orrery.SshPatterns those of all files; nil until the first answer
---@field unfit boolean every host is asked for
---@field kinds table<string, orrery.SshKind> by which patterns match
---@field asking? orrery.Future what others wait for
local Family = {}
Family.__index = Family

---@class orrery.SshPatterns
---@field names table<string, string> patterns that are plain names, and as small letters
---@field lua string[] the others, as Lua's patterns
---@field own table<string, orrery.SshOwn> hosts with a block of their own

---@class orrery.SshOwn a block that no other host has a part in
---@field hostname? string the one thing in which such blocks may differ
---@field kind string all else of it, and where it stands

---@class orrery.SshKind
---@field first? orrery.SshAnswer
---@field state? "same"|"odd" known with the second answer
---@field asking? orrery.Future

---@class orrery.SshAnswer
---@field name string
---@field hostname string what `found` should have
---@field found table<string, string[]>
---@field files string

---@alias orrery.SshAsk fun(name: string): table<string, string[]>, string what ssh says, parsed and as text

---@return orrery.SshFamily
function M.new()
    return setmetatable({ unfit = false, kinds = {} }, Family)
end

-- Which configuration files ssh has read, in lines.
local function files_of(text)
    local files = {}
    for path in text:gmatch("debug1: Reading configuration data ([^\r\n]+)") do files[#files + 1] = path end
    return table.concat(files, "\n")
end

-- Capital letters match both ways or not at all, as far as this goes: kinds are too many sooner than too few.
local function add_pattern(patterns, pattern)
    pattern = pattern:gsub("^!", "")
    for _, text in ipairs { pattern, pattern:lower() } do
        if pattern:find("[*?]") then
            local lua = text:gsub("[^%w*?]", "%%%0"):gsub("%*+", ".*"):gsub("%?", ".")
            table.insert(patterns.lua, "^" .. lua .. "$")
        else
            patterns.names[text] = text == pattern and "exactly " .. text or patterns.names[text] or text
        end
    end
end

-- Keyword and value; false where a line makes hosts differ in another way than by patterns.
local function parse_line(line)
    if line:find("^%s*$") or line:find("^%s*#") then return nil end
    local keyword, value = line:match("^%s*(%w+)%s*=?%s*(.-)%s*$")
    keyword = (keyword or ""):lower()
    if keyword == "" then return false end
    if keyword == "match" then return value:lower() == "all" and keyword, value end
    if keyword == "canonicalizehostname" then return value:lower() == "no" and keyword, value end
    if keyword == "include" then return not value:find("[%%$]") and keyword, value end
    if keyword == "host" then return not value:find("[\"'\\]") and keyword, value end
    return keyword, value
end

---@class orrery.SshBlock from a Host line to the next
---@field patterns string[]
---@field lines string[]
---@field hostname? string
---@field plain boolean it may be told from others by its HostName alone

local function add_to_block(block, keyword, value)
    if keyword == "hostname" and value:find("^[%w._:-]+$") and not block.hostname then
        block.hostname = value
    else
        if keyword == "hostname" or keyword == "include" then block.plain = false end
        block.lines[#block.lines + 1] = keyword .. " " .. value
    end
end

-- The blocks of a file, the part ahead of the first one too. Nil where there is more than patterns.
local function read_blocks(path)
    local file = io.open(path)
    if not file then return nil end
    local blocks, fine = { { patterns = {}, lines = {}, plain = false } }, true
    for line in file:lines() do
        local keyword, value = parse_line(line)
        if keyword == "host" or keyword == "match" then
            local block = { patterns = {}, lines = {}, plain = true }
            for pattern in (keyword == "host" and value or "*"):gmatch("%S+") do
                table.insert(block.patterns, pattern)
            end
            blocks[#blocks + 1] = block
        elseif keyword then
            add_to_block(blocks[#blocks], keyword, value)
        end
        fine = fine and keyword ~= false
    end
    file:close()
    return fine and blocks or nil
end

-- How many blocks name a host, in whichever way.
local function count_names(files)
    local counts = {}
    for _, blocks in ipairs(files) do
        for _, block in ipairs(blocks) do
            for _, pattern in ipairs(block.patterns) do
                local name = pattern:gsub("^!", ""):lower()
                counts[name] = (counts[name] or 0) + 1
            end
        end
    end
    return counts
end

local function is_own(block, counts)
    local name = block.patterns[1]
    return block.plain and #block.patterns == 1 and not name:find("[*?!%u]") and counts[name] == 1
end

---@param paths string in lines
---@return orrery.SshPatterns? patterns nil where there is more than patterns
local function read_patterns(paths)
    local patterns, files = { names = {}, lua = {}, own = {} }, {}
    for path in paths:gmatch("[^\n]+") do
        local blocks = read_blocks(path)
        if not blocks then return nil end
        files[#files + 1] = blocks
    end
    local counts = count_names(files)
    for i, blocks in ipairs(files) do
        local shared = 0 -- what comes first counts, so it matters between which of the others a block stands
        for place, block in ipairs(blocks) do
            if is_own(block, counts) then
                local kind = ("%d %d %s"):format(i, shared, table.concat(block.lines, "\n"))
                patterns.own[block.patterns[1]] = { hostname = block.hostname, kind = kind }
            else
                shared = place
                for _, pattern in ipairs(block.patterns) do add_pattern(patterns, pattern) end
            end
        end
    end
    return files[1] and patterns or nil
end

-- What ssh should say of a name's address, if all goes as expected.
local function hostname_of(self, name)
    local own = self.patterns and self.patterns.own[name]
    return own and own.hostname or name
end

local function kind_of(self, name)
    local own = self.patterns.own[name]
    local bits = { self.patterns.names[name] or "", own and own.kind or "" }
    for i, pattern in ipairs(self.patterns.lua) do bits[i + 2] = name:find(pattern) and "/1" or "/0" end
    local key = table.concat(bits)
    self.kinds[key] = self.kinds[key] or {}
    return self.kinds[key]
end

local function same_list(a, b)
    if not b or #a ~= #b then return false end
    for i = 1, #a do
        if a[i] ~= b[i] then return false end
    end
    return true
end

-- Do two answers differ in nothing but the names that were asked for?
local function same_answers(a, b)
    if a.files ~= b.files then return false end
    if a.found.hostname[1] ~= a.hostname or b.found.hostname[1] ~= b.hostname then return false end
    for key in pairs(b.found) do
        if not a.found[key] then return false end
    end
    for key, list in pairs(a.found) do
        if key ~= "host" and key ~= "hostname" and not same_list(list, b.found[key]) then return false end
    end
    return true
end

-- Nil where the name stands in the answer: a jump host that everybody else goes by way of, say.
local function named(first, name, hostname)
    local found = {}
    for key, list in pairs(first.found) do
        found[key] = list
        for _, value in ipairs(list) do
            if value:find(name, 1, true) then return nil end
        end
    end
    found.host, found.hostname = first.found.host and { name }, { hostname }
    return found
end

-- Asks while others wait for it.
local function ask_for_all(holder, name, ask, learn)
    local asking = sched.future("what ssh says of " .. name)
    holder.asking = asking
    local ok, found, text = pcall(ask, name)
    holder.asking = nil
    if ok then learn { name = name, found = found, files = files_of(text) } end
    asking:resolve()
    if not ok then error(found, 0) end
    return found
end

local function answer_of_kind(self, name, ask)
    local kind, hostname = kind_of(self, name), hostname_of(self, name)
    while kind.asking and not kind.state do kind.asking:get() end
    if kind.first and kind.first.name == name then return kind.first.found end
    if kind.state == "odd" then return (ask(name)) end
    if kind.state == "same" then return named(kind.first, name, hostname) or (ask(name)) end
    return ask_for_all(kind, name, ask, function(answer)
        answer.hostname = hostname
        if not kind.first then
            kind.first = answer
        else
            kind.state = same_answers(kind.first, answer) and "same" or "odd"
        end
    end)
end

--- What ssh says of a host, or would say. Others wait while the first of them is asked for.
---@param name string
---@param ask orrery.SshAsk
---@return table<string, string[]> found not to be changed
---Raises what `ask` raises.
function Family:answer(name, ask)
    if not name:find("^[%l%d._:-]+$") then return (ask(name)) end
    while self.asking and not self.patterns and not self.unfit do self.asking:get() end
    if self.unfit then return (ask(name)) end
    if self.patterns then return answer_of_kind(self, name, ask) end
    return ask_for_all(self, name, ask, function(answer)
        self.patterns = read_patterns(answer.files)
        self.unfit = not self.patterns
        if self.patterns then
            answer.hostname = hostname_of(self, name)
            kind_of(self, name).first = answer
        end
    end)
end

return M
