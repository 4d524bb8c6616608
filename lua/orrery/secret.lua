--- Values that must not be shown: passwords, tokens, keys. docs/secrets.md is for who uses them.
--
--     local password = secret.prompt "Database password: "
--     db:run({ "psql", "-c", "..." }, { env = { PGPASSWORD = password } })
--
-- A secret is an object around a text. It shows as "(secret)", and it travels in calls. Its text, and what that looks
-- like in base64, in a URL, in JSON or quoted, is known to each process that has it (runtime/base/redact.h): there it
-- becomes "********" in what is printed, logged and raised. What a script reads of a command or a file is its data and
-- stays as it is.
--
-- Strings of Lua's cannot be wiped: a secret's text is in the memory of the processes that had it.

local codec = require "orrery.codec"
local core = require "orrery.core"
local Error = require "orrery.error"
local options = require "orrery.options"

---@class orrery.Secret
---@field package [1] string the text
---@field package [2]? string[] what of it is not to be shown; nil: all of it
local Secret = codec.typed "secret"
Secret.__index = Secret

local M = { Secret = Secret }

--- What stands where a secret's text was.
M.MARK = "********"
--- Shorter texts are not looked for: they are in words that have nothing to do with them.
M.SHORTEST = 4

local SHOWN = "(secret)"
local LOG_WARN = 1
local MAX_DEPTH = 100

-- What a text may look like -----------------------------------------------------------------------

local LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

-- The digits of base64 that depend on the text alone, wherever in a longer text it begins: `before` bytes of a group
-- of three are something else's. Where it is the end of that text, there is one digit more.
local function base64(text, before, last, ends)
    local digits = LETTERS .. last
    local bytes, bits, count, out = ("\0"):rep(before) .. text, 0, 0, {}
    for i = 1, #bytes do
        bits, count = bits * 256 + bytes:byte(i), count + 8
        while count >= 6 do
            local digit = math.floor(bits / 2 ^ (count - 6)) % 64
            out[#out + 1] = digits:sub(digit + 1, digit + 1)
            count = count - 6
        end
        bits = bits % 2 ^ count
    end
    if ends and count > 0 then
        local digit = bits * 2 ^ (6 - count)
        out[#out + 1] = digits:sub(digit + 1, digit + 1)
    end
    return table.concat(out):sub(before == 0 and 1 or before + 2)
end

local function percent(text, form, which)
    return (text:gsub(which or "[^%w%-%._~]", function(c) return form:format(c:byte()) end))
end

local function escaped(text, escapes, other)
    return (text:gsub("[%c\"\\/<>&'\127]", function(c)
        return escapes[c] or (c:find "%c" and other:format(c:byte())) or nil
    end))
end

local JSON = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\b"] = "\\b",
    ["\f"] = "\\f" }
local HTML = { ['"'] = "&quot;", ["<"] = "&lt;", [">"] = "&gt;", ["&"] = "&amp;", ["'"] = "&#39;" }

-- Each in a line of its own, where the text has several; and all as one.
local function forms(text)
    local list = {
        text,
        percent(text, "%%%02X"), percent(text, "%%%02x"), (percent(text, "%%%02X"):gsub("%%20", "+")),
        percent(text, "%%%02X", "%W"), percent(text, "%%%02x", "%W"), -- some spare no punctuation
        escaped(text, JSON, "\\u%04x"),
        escaped(text, setmetatable({ ["/"] = "\\/" }, { __index = JSON }), "\\u%04x"),
        escaped(text, HTML, "%c"),
        (text:gsub("'", "'\\''")), (text:gsub("'", "'\"'\"'")), -- inside of quotes for sh
        ("%q"):format(text):sub(2, -2), (("%q"):format(text):sub(2, -2):gsub("\\\n", "\\n")),
        (text:gsub("[%z\1-\8\10-\31\127]", "?")), -- as a terminal is spared it
        (text:gsub("[%c]", function(c) return ("\\x%02x"):format(c:byte()) end)),
        (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end)),
        (text:gsub(".", function(c) return ("%02X"):format(c:byte()) end)),
    }
    for before = 0, 2 do
        for _, ends in ipairs { true, false } do
            list[#list + 1] = base64(text, before, "+/", ends)
            list[#list + 1] = base64(text, before, "-_", ends)
        end
    end
    return list
end

local known = {} ---@type table<string, true>
local warned = false

local function add(text)
    local ok, code, why = core.redact_add(text)
    if not ok then Error.raise { code = code, message = why, at = Error.at() } end
end

local LONGEST = 65536 -- bytes; of what is longer only its lines are known

--- Lets what has this text in it be redacted, in this process.
---@param text string
---Raises "limit".
function M.register(text)
    if known[text] or #text < M.SHORTEST then
        if #text < M.SHORTEST and #text > 0 and not warned then
            warned = true
            core.log(LOG_WARN, "secret", ("a secret of fewer than %d characters is shown where it is printed"):format(
                M.SHORTEST))
        end
        return
    end
    known[text] = true
    if #text <= LONGEST then
        for _, form in ipairs(forms(text)) do add(form) end
    end
    if not text:find "[\r\n]" then return end
    for line in text:gmatch "[^\r\n]+" do
        -- "-----BEGIN PRIVATE KEY-----" and "}" say nothing, and are everywhere.
        if #line >= 8 and not line:find "^%-%-%-%-%-.*%-%-%-%-%-$" then M.register(line) end
    end
end

-- Secrets -----------------------------------------------------------------------------------------

--- Is it a secret?
---@param value any
---@return boolean
function M.is(value)
    return type(value) == "table" and getmetatable(value) == Secret
end

--- Makes a secret out of a text, and lets it be redacted in this process from now on. A secret is returned as it is.
---@param text string|number|orrery.Secret
---@return orrery.Secret
---Raises "argument".
function M.new(text)
    if M.is(text) then return text end
    if type(text) == "number" then text = tostring(text) end
    if type(text) ~= "string" then
        Error.raise {
            code = "argument", at = Error.at(), message = "secret: a text was expected, this is a " .. type(text),
        }
    end
    M.register(text)
    return setmetatable({ text }, Secret)
end

--- The text of a secret. What is none is returned as it is.
---@param value any
---@return any
function M.reveal(value)
    if M.is(value) then return value[1] end
    return value
end

Secret.reveal = M.reveal

-- What of a secret is not to be shown.
local function add_parts(parts, s)
    for _, part in ipairs(s[2] or { s[1] }) do parts[#parts + 1] = part end
end

--- A text that was made with secrets. It is a secret, of which only they are redacted.
---@param text string
---@param from orrery.Secret[] none: the text is returned as it is
---@return string|orrery.Secret
function M.derive(text, from)
    if #from == 0 then return text end
    local parts = {}
    for _, s in ipairs(from) do add_parts(parts, s) end
    return setmetatable({ text, parts }, Secret)
end

function Secret.__tostring() return SHOWN end

-- In JSON, which is for others to read.
function Secret.__json() return M.MARK end

function Secret.__concat(left, right)
    local from, texts = {}, {}
    for i, value in ipairs { left, right } do
        if M.is(value) then from[#from + 1] = value end
        texts[i] = M.reveal(value)
    end
    local other = M.is(left) and right or left
    if #texts < 2 or not M.is(other) and type(other) ~= "string" and type(other) ~= "number" then
        error(("attempt to concatenate a secret and a %s"):format(type(other)), 2)
    end
    return M.derive(texts[1] .. texts[2], from)
end

function Secret.__eq(a, b) return a[1] == b[1] end

--- It has come from another process. For orrery.codec.
---@param s table
function M.learn(s)
    local parts = type(s[2]) == "table" and s[2] or { s[1] }
    for _, part in ipairs(parts) do
        if type(part) == "string" then M.register(part) end
    end
end

-- Tables ------------------------------------------------------------------------------------------

local function deep(value, leaf, seen, depth)
    local replaced = leaf(value)
    if replaced ~= nil then return replaced end
    if type(value) ~= "table" then return value end
    if seen[value] then return seen[value] end
    if depth > MAX_DEPTH then return nil end
    local copy = setmetatable({}, debug.getmetatable(value))
    seen[value] = copy
    for key, part in next, value do
        key = deep(key, leaf, seen, depth + 1)
        if key ~= nil then rawset(copy, key, deep(part, leaf, seen, depth + 1)) end
    end
    return copy
end

--- A copy with the texts of all secrets in it in their place.
---@generic T
---@param value T
---@return T copy
---@return orrery.Secret[] found
function M.open(value)
    local found = {}
    local copy = deep(value, function(part)
        if not M.is(part) then return nil end
        found[#found + 1] = part
        return part[1]
    end, {}, 1)
    return copy, found
end

--- A text with "********" in the place of each secret that this process knows.
---@param text string
---@return string
function M.redact(text)
    return core.redact(text)
end

--- A copy to be shown: texts in it, at any depth, are redacted, and secrets are "********".
---@generic T
---@param value T
---@return T
function M.scrub(value)
    return (deep(value, function(part)
        if type(part) == "string" then return core.redact(part) end
        if M.is(part) then return M.MARK end
        return nil
    end, {}, 1))
end

---@class orrery.secret.Stream redacts a text that comes in pieces
---@field package rest string
local Stream = {}
Stream.__index = Stream

--- For a text that comes in pieces: what may be the beginning of a secret is kept back until it is clear.
---@return orrery.secret.Stream
function M.stream()
    return setmetatable({ rest = "" }, Stream)
end

--- What can be shown, with this piece.
---@param piece string
---@return string
function Stream:feed(piece)
    local text = self.rest .. piece
    local held = core.redact_held(text)
    self.rest = text:sub(#text - held + 1)
    return core.redact(text:sub(1, #text - held))
end

--- What was kept back, at the end.
---@return string
function Stream:finish()
    local text = self.rest
    self.rest = ""
    return core.redact(text)
end

-- Sources -----------------------------------------------------------------------------------------

--- Asks the person at the terminal, or $SSH_ASKPASS; in a child, whoever the controller's questions go to.
---@param text string what to show: "Password: "
---@return orrery.Secret
---Raises "credentials" where there is nobody; "cancelled" where there is no answer.
function M.prompt(text)
    local answer = require("orrery.ask").person {
        kind = "prompt", echo = false, attempt = 1, host = "the script", subject = "", text = text, detail = "",
    }
    return M.new(answer)
end

---@type table<string, orrery.Secret> variables that were taken
local taken = {}

--- Takes a variable out of the environment: commands and children that are started later do not inherit it.
---@param name string
---@return orrery.Secret
---Raises "argument" where it is not set.
function M.env(name)
    if not taken[name] then
        local value = core.take_env(name)
        if not value then
            Error.raise { code = "argument", at = Error.at(), message = ("secret: $%s is not set"):format(name) }
        end
        taken[name] = M.new(value)
    end
    return taken[name]
end

local FILE = { raw = "boolean" }

local function without_newline(text, opts)
    return opts.raw and text or (text:gsub("\r?\n$", ""))
end

--- What a file holds, without the newline at its end.
---@param path string
---@param opts? { raw?: boolean } with it
---@return orrery.Secret
---Raises "file".
function M.file(path, opts)
    opts = options.check("secret.file", opts, FILE)
    local file, why = io.open(path, "rb")
    local text
    if file then
        text, why = file:read "*a"
        file:close()
    end
    if not text then
        Error.raise { code = "file", at = Error.at(), message = "secret: " .. tostring(why) }
    end
    return M.new(without_newline(text, opts))
end
options.declare(M.file, FILE, 2)

-- What it says besides is for the person, and no part of the secret.
local OWN_STDERR = [[
err=/proc/$PPID/fd/2
(: 2>>"$err") 2>/dev/null || err=/dev/null
exec "$@" 2>>"$err"]]

--- What a command of this machine says, without the newline at its end: { "pass", "show", "db" }.
---@param argv string[]
---@param opts? { raw?: boolean }
---@return orrery.Secret
---Raises "command" where it fails.
function M.command(argv, opts)
    opts = options.check("secret.command", opts, FILE)
    local output, status = require("orrery.capture").run { "sh", "-c", OWN_STDERR, "sh", unpack(argv) }
    if status ~= 0 then
        Error.raise {
            code = "command", at = Error.at(),
            message = ("secret: %s: exited with status %d"):format(tostring(argv[1]), status),
        }
    end
    return M.new(without_newline(output, opts))
end
options.declare(M.command, FILE, 2)

--- What an encrypted file holds: `orrery vault` makes them. A Lua table in it comes as one, its texts as secrets.
---@param path string
---@param opts? orrery.VaultOptions
---@return table|orrery.Secret
---Raises what orrery.vault's open raises.
function M.vault(path, opts)
    return require("orrery.vault").open(path, opts)
end
options.declare(M.vault, function() return options.of(require("orrery.vault").open).schema end, 2)

return setmetatable(M, { __call = function(_, text) return M.new(text) end })
