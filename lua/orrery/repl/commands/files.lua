--- :edit, :load, :save.

local bit = require "bit"
local Error = require "orrery.error"
local sys = require "orrery.sys"

local M = {}

local PRIVATE, EVERYBODY = 0x180, 0x1b6 -- 0600, 0666
local LONG_AGO = 1e9 -- a file of then has not been saved since

local function fail(text, ...) Error.raise { code = "usage", message = text:format(...) } end

local function expanded(path)
    local home = os.getenv "HOME"
    if home and (path == "~" or path:sub(1, 2) == "~/") then return home .. path:sub(2) end
    return path
end

local function read(path)
    local text, why = sys.read(path)
    if not text then fail("cannot read %s", why) end
    return text
end

-- :load ----------------------------------------------------------------------------------------------

function M.load(repl, path)
    path = expanded(path)
    -- Lines keep their numbers.
    repl:evaluate((read(path):gsub("^#[^\n]*", "")), { name = "@" .. path })
end

-- :edit ----------------------------------------------------------------------------------------------

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function editor()
    for _, name in ipairs { "VISUAL", "EDITOR" } do
        local value = os.getenv(name)
        if value and value:find "%S" then return value end
    end
    return "vi"
end

-- An editor may leave more than one file there.
local function remove(dir)
    for _, name in ipairs(sys.list(dir) or {}) do sys.unlink(dir .. "/" .. name) end
    sys.rmdir(dir)
end

local function run_editor(path)
    local command = editor()
    io.stdout:flush()
    local status = os.execute(command .. " " .. quoted(path))
    if status == 0 or status == true then return end
    local code = tonumber(status)
    local how = code and code % 256 == 0 and ("ended with status %d"):format(code / 256) or "failed"
    fail("the editor '%s' %s; nothing was run", command, how)
end

-- In a directory of its own, so that nobody else sees what the editor makes beside it.
local function edited(text)
    local dir, why = sys.mkdtemp()
    if not dir then fail("cannot make %s", why) end
    local path = dir .. "/input.lua"
    local ok, result = pcall(function()
        local written
        written, why = sys.write_atomic(path, text, { mode = PRIVATE })
        if not written then fail("cannot write %s", why) end
        sys.utimes(path, LONG_AGO, LONG_AGO)
        run_editor(path)
        local stat = sys.stat(path)
        return stat and stat.mtime ~= LONG_AGO and read(path) or nil
    end)
    remove(dir)
    if not ok then error(result, 0) end
    return result
end

local function text_to_edit(repl, what)
    if what:find "^%d+$" then
        local text = repl.transcript:typed_before(tonumber(what))
        if not text then fail("there are not that many inputs: %s", what) end
        return text
    end
    if what ~= "" then return read(expanded(what)) end
    return repl.transcript:typed_before(1) or ""
end

function M.edit(repl, what)
    local text = edited(text_to_edit(repl, what))
    if not text then return repl.print "nothing was saved, nothing was run" end
    text = text:gsub("%s+$", "")
    if text == "" then return repl.print "the text is empty, nothing was run" end
    repl.print(text)
    require("orrery.repl.commands.time").input(repl, text, { history = true })
end

-- :save ----------------------------------------------------------------------------------------------

-- Under its name whole or not at all; and not at all where that is taken, also since a moment.
local function write_new(path, text, mode)
    local directory = path:match "^(.*/)" or ""
    local name, why = sys.mkstemp(directory .. ".orrery-")
    if not name then return nil, why end
    local ok, code
    ok, why = sys.write_atomic(name, text, { mode = mode })
    if ok then
        ok, why, code = sys.link(name, path)
        -- Not all file systems have links.
        if not ok and code ~= "EEXIST" and not sys.lstat(path) then ok, why = sys.rename(name, path) end
    end
    sys.unlink(name)
    return ok, why, code
end

-- Who may read it is the umask's to say, unless there are secrets in it.
local function mode_of(text)
    if require("orrery.core").redact(text) ~= text then return PRIVATE end
    return bit.band(EVERYBODY, bit.bnot(sys.umask()))
end

local function write(path, text, replace)
    local ok, why, code
    if replace then
        ok, why = sys.write_atomic(path, text, { mode = mode_of(text) })
    else
        ok, why, code = write_new(path, text, mode_of(text))
    end
    if ok then return end
    if code == "EEXIST" then fail("%s is there already; ':save! %s' replaces it", path, path) end
    fail("cannot write %s: %s", path, (why:gsub("^.*: ", "")))
end

function M.save(repl, path, replace)
    path = expanded(path)
    local text, count = repl.transcript:script(repl)
    if count == 0 then fail("there is nothing to save: no input has gone well so far") end
    write(path, text, replace)
    repl.print(("%s: %d input%s"):format(path, count, count == 1 and "" or "s"))
end

return M
