--- What sources say of functions and classes: comments as LuaLS reads them, found while the program runs.
--
-- The library is built in as bytecode, so the command has its comments in a module of their own. Where that is not (a
-- stock LuaJIT), and for what is the user's, the files are read.

local M = {}

local texts -- by name: what is built in
local function built_in(name)
    if not texts then
        local found, all = pcall(require, "orrery.repl.sources")
        texts = found and all or {}
    end
    return texts[name]
end

local function read(path)
    local file = io.open(path, "rb")
    local text = file and file:read "*a"
    if file then file:close() end
    return text
end

-- "orrery/ssh.lua" of "@orrery/ssh.lua", "@orrery.ssh" and "@/usr/share/lua/5.1/orrery/ssh.lua".
local function library_name(path)
    local name = path:match "^orrery/.*%.lua$" or path:match "/(orrery/.*%.lua)$"
    if not name and path:find "^orrery[%w_%.]*$" then name = path:gsub("%.", "/") .. ".lua" end
    return name
end

--- The text of a chunk, as far as it is known: of what is built in, comments and the beginnings of functions.
---@param chunk string as debug.getinfo says: "@orrery/ssh.lua"
---@return string? text
---@return string? name "orrery/ssh.lua"
function M.text(chunk)
    local path = chunk:match "^@(.*)$"
    if not path then return nil end
    local name = library_name(path)
    local text = name and (built_in(name) or built_in((name:gsub("%.lua$", "/init.lua"))))
    return text or read(path) or name and M.module_text(name:gsub("%.lua$", ""):gsub("/", ".")), name or path
end

--- The text of a module.
---@param name string "orrery.ssh"
---@return string?
function M.module_text(name)
    local path = name:gsub("%.", "/")
    local text = built_in(path .. ".lua") or built_in(path .. "/init.lua")
    if text then return text end
    local found = package.searchpath(name, package.path)
    return found and read(found) or nil
end

local function lines_of(text)
    local lines = {}
    for line in (text .. "\n"):gmatch "(.-)\r?\n" do lines[#lines + 1] = line end
    return lines
end

-- Comments -------------------------------------------------------------------------------------------

---@class orrery.repl.Comment
---@field prose string[] paragraphs
---@field params { name: string, text: string }[]
---@field returns string[]
---@field fields { name: string, text: string }[]
---@field class? string "orrery.SshOptions"
---@field parents string[] classes that it is one of, too
---@field about string what stands behind the name of the class

local function new_comment() return { prose = {}, params = {}, returns = {}, fields = {}, parents = {}, about = "" } end

local tags = {}

local function named(list)
    return function(comment, text)
        local name, rest = text:match "^(%S+)%s*(.*)$"
        local entry = { name = name or "", text = rest or "" }
        table.insert(comment[list], entry)
        return function(more) entry.text = entry.text .. " " .. more end
    end
end

tags.param, tags.field = named "params", named "fields"

tags["return"] = function(comment, text)
    table.insert(comment.returns, text)
    local at = #comment.returns
    return function(more) comment.returns[at] = comment.returns[at] .. " " .. more end
end

function tags.class(comment, text)
    local name, rest = text:match "^%s*([%w_%.]+)%s*(.*)$"
    local parents, about = rest:match "^:%s*([%w_%.,%s]-[%w_])%s+(%l.*)$"
    if not parents then parents = rest:match "^:%s*(.*)$" end
    comment.class, comment.about = name, about or not parents and rest or ""
    for parent in (parents or ""):gmatch "[%w_]+%.[%w_%.]+" do table.insert(comment.parents, parent) end
    return function(more) comment.about = comment.about .. " " .. more end
end

-- What is behind the dashes: a tag, prose, or what goes on from the line before.
local function read_line(comment, line, more)
    local dashes, text = line:match "^%s*(%-%-%-?)(.*)$"
    local tag, rest = text:match "^%s?@([%w_]+)%s*(.*)$"
    if dashes == "---" and tag then return tags[tag] and tags[tag](comment, rest) end
    local new = text:find "^%u" ~= nil
    if more and not new and text:find "^%S" then
        more(text)
        return more
    end
    text = text:gsub("^ ", "")
    local prose = comment.prose
    if text:find "^Raises " and prose[1] and prose[#prose] ~= "" then prose[#prose + 1] = "" end
    if text == "" then
        if prose[#prose] ~= "" then prose[#prose + 1] = "" end
    else
        prose[#prose + 1] = text
    end
end

local function parse(lines, from, to)
    local comment, more = new_comment(), nil
    for i = from, to do more = read_line(comment, lines[i], more) end
    while comment.prose[#comment.prose] == "" do table.remove(comment.prose) end
    return comment
end

local function is_comment(line) return line ~= nil and line:find "^%s*%-%-" ~= nil end

-- Functions ------------------------------------------------------------------------------------------

---@class orrery.repl.FunctionDoc
---@field where string "orrery/init.lua:71"
---@field arguments? string "(target, opts)"
---@field comment? orrery.repl.Comment

-- What stands in the brackets behind `function`, as far as it is on that line.
local function arguments_of(line) return line and line:match "function[^(]*(%b())" end

--- What is known of a function.
---@param fn function
---@return orrery.repl.FunctionDoc? doc nil for one that is not of Lua, or whose source is not known
function M.of_function(fn)
    local info = debug.getinfo(fn, "S")
    local text, name = M.text(info.source)
    if info.what == "C" or not text then return nil end
    local lines, at = lines_of(text), info.linedefined
    local from = at
    while is_comment(lines[from - 1]) do from = from - 1 end
    return {
        where = ("%s:%d"):format(name, at), arguments = arguments_of(lines[at]),
        comment = from < at and parse(lines, from, at - 1) or nil,
    }
end

--- What a file says of itself at its top.
---@param text string
---@return string[] paragraphs
function M.header(text)
    local lines, to = lines_of(text), 0
    if lines[1] and lines[1]:find "^#!" then lines[1] = "--" end
    while is_comment(lines[to + 1]) do to = to + 1 end
    return parse(lines, 1, to).prose
end

-- Classes --------------------------------------------------------------------------------------------

local function class_in(text, name)
    local lines = lines_of(text)
    for i, line in ipairs(lines) do
        if line:match "^%-%-%-@class%s+([%w_%.]+)" == name then
            local to = i
            while is_comment(lines[to + 1]) and not lines[to + 1]:find "^%-%-%-@class" do to = to + 1 end
            return parse(lines, i, to)
        end
    end
end

-- The files of the library where it is not built in, but for those of parts of it.
local function library_files()
    local path = package.searchpath("orrery.error", package.path)
    local directory = path and path:match "^(.*/)"
    local list = directory and require("orrery.sys").list(directory) or {}
    for i, name in ipairs(list) do list[i] = directory .. name end
    return list
end

--- What is known of a class.
---@param name string "orrery.SshOptions"
---@param chunk? string where it is looked for first
---@return orrery.repl.Comment?
function M.class(name, chunk)
    local own = chunk and M.text(chunk)
    local found = own and class_in(own, name)
    if found then return found end
    built_in "orrery"
    for _, text in pairs(texts) do
        found = text:find("@class " .. name, 1, true) and class_in(text, name)
        if found then return found end
    end
    for _, path in ipairs(next(texts) and {} or library_files()) do
        local text = path:find "%.lua$" and read(path)
        found = text and text:find("@class " .. name, 1, true) and class_in(text, name)
        if found then return found end
    end
end

--- The fields of a class, and of those that it is one of, too.
---@param name string
---@param chunk? string
---@return { name: string, text: string }[]
function M.fields(name, chunk)
    local list, seen = {}, {}
    local function add(class)
        local comment = not seen[class] and M.class(class, chunk)
        seen[class] = true
        for _, field in ipairs(comment and comment.fields or {}) do
            if not field.name:find "^%[" then list[#list + 1] = field end
        end
        for _, parent in ipairs(comment and comment.parents or {}) do add(parent) end
    end
    add(name)
    return list
end

return M
