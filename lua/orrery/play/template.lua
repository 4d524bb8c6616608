--- Templates: text with Lua in it. docs/templates.md is for who writes them.
--
--     <% code %>     runs                         <%- and -%>  take the blanks in front and the newline behind along
--     <%= value %>   writes a value as it is      <%# words %> says nothing
--     <%% is <%      as text
--
-- Nothing is escaped, as every kind of configuration file has its own rules: quote, json and indent do that where
-- it is asked for.
--
-- A template becomes a chunk of Lua whose line N is line N of the template, so that whatever goes wrong names the
-- right one. It is compiled for each rendering: that one may wait for something while another begins.

local Error = require "orrery.error"
local helpers = require "orrery.play.template_helpers"
local options = require "orrery.options"
local secret = require "orrery.secret"

local M = {}

local MAX_INCLUDES = 20 -- inside one another

---@class orrery.Template
---@field name string for messages; where others are included from, its path
---@field package code string Lua, line by line that of the template
---@field package values { text: string, line: integer }[] the expressions that are written
local Template = {}
Template.__index = Template

---@class orrery.TemplateOptions
---@field include? fun(name: string): string?, string? the text of another template and its name; nil, why there is
---none. Without it, files beside the template

local function fail(name, line, text)
    local at = ("%s:%d"):format(name, line)
    Error.raise { code = "template", message = ("%s: %s"):format(at, text), at = at }
end

-- Scanning ----------------------------------------------------------------------------------------

local function count_lines(text)
    local _, n = text:gsub("\n", "")
    return n
end

-- The end of a string, or of a comment's text, that begins at `at`; nil where it has none.
local function end_of_long(code, at)
    local level = code:match("^%[(=*)%[", at)
    if not level then return nil end
    local _, last = code:find("]" .. level .. "]", at, true)
    return last or #code
end

local function end_of_quoted(code, at)
    local quote, from = code:sub(at, at), at + 1
    while true do
        local found = code:find("[\\" .. quote .. "]", from)
        if not found then return #code end
        if code:sub(found, found) == quote then return found end
        from = found + 2
    end
end

-- Takes out comments up to the end of a line: one at the end of a tag would swallow what follows.
local function uncommented(code)
    if not code:find("--", 1, true) then return code end
    local kept, from, at = {}, 1, 1
    while true do
        at = code:find("[%-\"'%[]", at)
        if not at then break end
        if code:find("^%-%-", at) then
            local last = end_of_long(code, at + 2)
            if not last then
                kept[#kept + 1] = code:sub(from, at - 1)
                last = (code:find("\n", at, true) or #code + 1) - 1
                from = last + 1
            end
            at = last + 1
        elseif code:find("^[\"']", at) then
            at = end_of_quoted(code, at) + 1
        else
            at = (end_of_long(code, at) or at) + 1
        end
    end
    return table.concat(kept) .. code:sub(from)
end

---@class orrery.template.Scan
---@field name string
---@field line integer
---@field parts string[] of the chunk
---@field values { text: string, line: integer }[]
local Scan = {}
Scan.__index = Scan

function Scan:literal(text)
    for part, newline in text:gmatch "([^\n]*)(\n?)" do
        local whole = part .. newline
        if whole ~= "" then
            local quoted = ("%q"):format(whole):gsub("\\\n", "\\n"):gsub("\r", "\\r"):gsub("%z", "\\000")
            self.parts[#self.parts + 1] = (" _w%s;%s"):format(quoted, newline)
        end
    end
    self.line = self.line + count_lines(text)
end

local function message_of(why, name)
    local line, text = why:match ":(%d+): (.*)$"
    if not line then return nil, name .. ": " .. why end
    return tonumber(line), text
end

function Scan:value(text)
    local code = uncommented(text)
    if not code:find "%S" then fail(self.name, self.line, "there is nothing between '<%=' and '%>'") end
    -- Alone, so that it can be nothing but one expression.
    local _, why = loadstring(("\n"):rep(self.line - 1) .. "return (" .. code .. "\n)", "=t")
    if why then
        local line, said = message_of(why, self.name)
        fail(self.name, math.min(line or self.line, self.line + count_lines(text)), said)
    end
    self.values[#self.values + 1] = { text = text:match "^%s*(.-)%s*$", line = self.line }
    self.parts[#self.parts + 1] = (" _v(%d,(%s));"):format(#self.values, code)
    self.line = self.line + count_lines(text)
end

function Scan:code(text)
    self.parts[#self.parts + 1] = " " .. uncommented(text) .. " "
    self.line = self.line + count_lines(text)
end

-- What is not written, but has to keep its lines.
function Scan:skip(text)
    local n = count_lines(text)
    self.parts[#self.parts + 1] = ("\n"):rep(n)
    self.line = self.line + n
end

-- The tag that begins at `at`; returns where the text goes on.
function Scan:tag(text, at)
    local from = text:match("^<%%%-?()", at)
    local kind = text:match("^[=#]", from)
    if kind then from = from + 1 end
    local close = text:find("%>", from, true)
    if not close then fail(self.name, self.line, "'<%' has no '%>'") end
    local trim = close > from and text:sub(close - 1, close - 1) == "-"
    local body = text:sub(from, close - (trim and 2 or 1))
    if kind == "=" then
        self:value(body)
    elseif kind == "#" then
        self:skip(body)
    else
        self:code(body)
    end
    local after = close + 2
    if not trim then return after end
    local next_line = text:match("^\r?\n()", after)
    if next_line then self:skip "\n" end
    return next_line or after
end

-- Without the blanks with which a line begins, where it ends in them.
local function unindented(text, at_start)
    local line, blanks = text:match "^(.-)([ \t]*)$"
    if blanks ~= "" and (line:sub(-1) == "\n" or line == "" and at_start) then return line end
    return text
end

function Scan:all(text)
    local from, at_start = 1, true
    while true do
        local at = text:find("<%", from, true)
        local before = text:sub(from, (at or 0) - 1)
        if not at then return self:literal(before) end
        if text:sub(at + 2, at + 2) == "%" then
            self:literal(before .. "<%")
            from, at_start = at + 3, false
        else
            if text:sub(at + 2, at + 2) == "-" then before = unindented(before, at_start) end
            self:literal(before)
            from = self:tag(text, at)
            at_start = text:sub(from - 1, from - 1) == "\n"
        end
    end
end

-- Compiling ---------------------------------------------------------------------------------------

local function load_chunk(template)
    return loadstring(template.code, "@" .. template.name)
end

-- `<%- x %>` writes a value elsewhere.
local function hint(text, line)
    local n = 0
    for each in (text .. "\n"):gmatch "(.-)\n" do
        n = n + 1
        if n == line then
            return each:find "<%%%-[^=#]" and "; '<%-' runs code: what writes a value is '<%='" or ""
        end
    end
    return ""
end

--- Compiles a template.
---@param text string
---@param name? string for messages, and where included ones are looked for; default "template"
---@return orrery.Template
---Raises "template" with name and line for what is no Lua; "argument".
function M.compile(text, name)
    if type(text) ~= "string" then
        Error.raise {
            code = "argument", at = Error.at(),
            message = "template: a text was expected, this is a " .. type(text),
        }
    end
    local scan = setmetatable({
        name = name or "template", line = 1, parts = { "local _w,_v=...;" }, values = {},
    }, Scan)
    scan:all(text)
    local template = setmetatable({
        name = scan.name, code = table.concat(scan.parts), values = scan.values,
    }, Template)
    local chunk, why = load_chunk(template)
    if not chunk then
        local line, said = message_of(why, template.name)
        fail(template.name, line or 1, said .. hint(text, line))
    end
    return template
end

-- Rendering ---------------------------------------------------------------------------------------

local STANDARD = {}
for name in ([[assert error getmetatable ipairs next pairs pcall print rawequal rawget rawset require select
    setmetatable tonumber tostring type unpack xpcall bit coroutine debug io jit math os package string table
    ]]):gmatch "%S+" do
    STANDARD[name] = true
end

---@class orrery.template.Render one rendering, with what it includes
---@field template orrery.Template
---@field scopes table[] where names are looked for, the nearest first
---@field own table what the template assigns
---@field include fun(name: string): string?, string?
---@field depth integer
---@field out string[]
---@field secrets orrery.Secret[]
local Render = {}
Render.__index = Render

local function add_names(list, names)
    for key in pairs(names) do
        if type(key) == "string" then list[#list + 1] = key end
    end
end

-- Where the template is: the innermost of its frames.
local function current_line(template)
    local source = "@" .. template.name
    for level = 2, 200 do
        local info = debug.getinfo(level, "Sl")
        if not info then return 1 end
        if info.source == source and info.currentline > 0 then return info.currentline end
    end
    return 1
end

local function nearest(name, ...)
    local known = {}
    for i = 1, select("#", ...) do add_names(known, (select(i, ...))) end
    table.sort(known)
    return #name <= 64 and options.nearest(name, known)
end

function Render:undefined(name)
    local known = {}
    for _, scope in ipairs(self.scopes) do add_names(known, scope) end
    table.sort(known)
    local near = #name <= 64 and options.nearest(name, known) or nearest(name, self.own, self.helpers, STANDARD)
    local text = ("'%s' is not defined"):format(name)
    if near then
        text = ("%s; did you mean '%s'?"):format(text, near)
    elseif #known > 0 and #known <= 12 then
        text = ("%s; there are: %s"):format(text, table.concat(known, ", "))
    end
    fail(self.template.name, current_line(self.template), text)
end

function Render:look_up(name)
    for _, scope in ipairs(self.scopes) do
        local value = scope[name]
        if value ~= nil then return value end
    end
    local value = self.helpers[name]
    if value ~= nil then return value end
    if STANDARD[name] then return _G[name] end
    return nil
end

function Render:environment()
    return setmetatable(self.own, {
        __index = function(_, name)
            local value = self:look_up(name)
            if value == nil then self:undefined(tostring(name)) end
            return value
        end,
    })
end

-- What may have been meant by a.b.c that is nil.
function Render:advise(expression)
    if not expression:match "^[%a_][%w_%.]*$" then return "" end
    local value
    for key in expression:gmatch "[^%.]+" do
        local next_value
        if value == nil then
            next_value = rawget(self.own, key) or self:look_up(key)
        elseif type(value) == "table" then
            next_value = value[key]
        end
        if next_value == nil then
            local near = type(value) == "table" and nearest(key, value)
            return near and ("; did you mean '%s'?"):format(near) or ""
        end
        value = next_value
    end
    return ""
end

function Render:write_value(number, value)
    local text = helpers.text_of(value)
    if text then
        self.out[#self.out + 1] = text
        if secret.is(value) then self.secrets[#self.secrets + 1] = value end
        return
    end
    local of = self.template.values[number]
    local what = value == nil and "nil" .. self:advise(of.text) or "a " .. type(value)
    fail(self.template.name, of.line, ("'%s' is %s"):format(of.text, what))
end

-- Errors that say where in a template they come from.
---@type table<orrery.Error, true>
local located = setmetatable({}, { __mode = "k" })

local PASSED_ON = { cancelled = true, interrupted = true }

-- An error that has a meaning for the caller keeps its code.
local function place(err, at)
    if err.code == "template" or located[err] or PASSED_ON[err.code] then return err end
    located[err] = true
    err.message, err.at = ("%s: %s"):format(at, tostring(err.message)), at
    return err
end

local function locate(template)
    return function(x)
        local at = ("%s:%d"):format(template.name, current_line(template))
        if Error.is(x) and x.code ~= "lua" then return place(x, at) end
        local err = Error.handler(x)
        local text = tostring(err.message)
        local own = text:match "^[^\n]-:%d+: (.*)$"
        if own and text:sub(1, #at + 1) == at .. ":" then text = own end
        return Error.new {
            code = "template", message = ("%s: %s"):format(at, text), at = at, traceback = err.traceback,
        }
    end
end

function Render:run()
    local chunk = load_chunk(self.template)
    setfenv(chunk, self:environment())
    local function write(text) self.out[#self.out + 1] = text end
    local function write_value(number, value) self:write_value(number, value) end
    local ok, err = xpcall(chunk, locate(self.template), write, write_value)
    if not ok then error(err, 0) end
    return secret.derive(table.concat(self.out), self.secrets)
end

local function render(template, scopes, include, depth)
    local run = setmetatable({
        template = template, scopes = scopes, own = {}, include = include, depth = depth, out = {}, secrets = {},
    }, Render)
    run.helpers = helpers.new(run)
    return run:run()
end

--- The text of another template, rendered with the same variables and what this one has assigned.
---@param name string
---@param more? table further variables
---@return string|orrery.Secret
function Render:included(name, more)
    local here = ("%s:%d"):format(self.template.name, current_line(self.template))
    if self.depth == MAX_INCLUDES then
        fail(self.template.name, current_line(self.template),
            ("include: '%s' would be the %dth inside one another"):format(name, MAX_INCLUDES + 1))
    end
    local text, full = self.include(name)
    if not text then
        fail(self.template.name, current_line(self.template),
            ("include: cannot read '%s': %s"):format(name, full or "there is no such template"))
    end
    local scopes = { more or {} }
    scopes[2] = setmetatable({}, { __index = function(_, key) return rawget(self.own, key) end })
    for _, scope in ipairs(self.scopes) do scopes[#scopes + 1] = scope end
    local ok, result = pcall(function()
        return render(M.compile(text, full or name), scopes, self.include, self.depth + 1)
    end)
    if ok then return result end
    if Error.is(result) and (result.code == "template" or located[result]) then
        result.message = ("%s\n  included at %s"):format(result.message, here)
    end
    error(result, 0)
end

-- Files beside the template; a name with a slash in front is a path of its own.
local function beside(template)
    local dir = template.name:match "^(.*/)" or ""
    return function(name)
        local path = name:sub(1, 1) == "/" and name or dir .. name
        local file, why = io.open(path, "rb")
        local text
        if file then
            text, why = file:read "*a"
            file:close()
        end
        if not text then return nil, why end
        return text, path
    end
end

local OPTIONS = { include = "function" }

--- Renders it.
---@param vars? table the names that it may read
---@param opts? orrery.TemplateOptions
---@return string|orrery.Secret text a secret, where a secret was written into it
---Raises "template" with the name and line of the template.
function Template:render(vars, opts)
    opts = options.check("template", opts, OPTIONS)
    return render(self, { vars or {} }, opts.include or beside(self), 0)
end
options.declare(Template.render, OPTIONS, 2)

--- Renders a text.
---@param text string
---@param vars? table the names that it may read
---@param name? string for messages, and where included ones are looked for; default "template"
---@param opts? orrery.TemplateOptions
---@return string|orrery.Secret
---Raises as compile and Template:render.
function M.render(text, vars, name, opts)
    return M.compile(text, name):render(vars, opts)
end
options.declare(M.render, OPTIONS, 4)

return M
