--- orrery vault: makes, shows and changes encrypted files.
--
-- What is edited is never on a disk: it is in a directory of the user's alone, in a file system that is in memory. A
-- process that outlives this one removes that, however this one ends; see docs/secrets.md.

local args = require "orrery.cli.args"
local core = require "orrery.core"
local Error = require "orrery.error"
local options = require "orrery.options"
local secret = require "orrery.secret"
local sys = require "orrery.sys"
local vault = require "orrery.vault"

local M = {}

---@type orrery.cli.Option[]
M.options = {
    { name = "passphrase-file", value = "text" }, { name = "new-passphrase-file", value = "text" },
    { name = "output", short = "o", value = "text" }, { name = "stdin" },
}

local START = "return {\n    -- db_password = \"...\",\n}\n"
local OK, FAILED = 0, 1
--- What goes wrong in ways of which the message says enough.
local PLAIN = { vault = true, file = true, credentials = true, cancelled = true }

local function fail(text, code)
    Error.raise { code = code or "vault", message = text }
end

-- Passphrases -------------------------------------------------------------------------------------

local function reading(opts) return { passphrase_file = opts["passphrase-file"] } end

-- A new one. Who types it types it twice.
local function new_passphrase(path, file)
    if file then return vault.passphrase_of(file) end
    local once = secret.prompt(("New passphrase of %s: "):format(path)):reveal()
    if once == "" then fail(path .. ": an empty passphrase protects nothing") end
    if secret.prompt("The same again: "):reveal() ~= once then fail(path .. ": the two passphrases differ") end
    return once
end

local function first_passphrase(path, opts)
    local variable = os.getenv(vault.VARIABLE)
    return new_passphrase(path, opts["passphrase-file"] or variable ~= "" and variable or nil)
end

-- Editing -----------------------------------------------------------------------------------------

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

-- The kind of file system that holds a path: that of the longest mount point which it is below.
local function file_system(path)
    local best, kind = -1, nil
    for line in io.lines "/proc/mounts" do
        local point, what = line:match "^%S+ (%S+) (%S+)"
        point = point:gsub("\\(%d%d%d)", function(octal) return string.char(tonumber(octal, 8)) end)
        local below = path == point or point == "/" or path:sub(1, #point + 1) == point .. "/"
        if below and #point >= best then best, kind = #point, what end
    end
    return kind
end

-- The directory, and a process that removes it when this one is gone, and so its end of the pipe.
local function private_directory()
    local tried = {}
    for _, parent in ipairs { os.getenv "XDG_RUNTIME_DIR" or "", "/dev/shm", "/tmp" } do
        local real = parent ~= "" and sys.realpath(parent)
        local kind = real and file_system(real)
        if kind == "tmpfs" or kind == "ramfs" then
            local made = sys.mkdtemp(real .. "/orrery-vault-")
            if made then return made end
        end
        tried[#tried + 1] = parent ~= "" and parent or nil
    end
    fail("vault: there is no file system in memory to edit in; tried: " .. table.concat(tried, ", "))
end

local function guard(directory)
    local remove = "trap '' HUP INT QUIT TERM; cat >/dev/null; rm -rf -- \"$1\""
    return io.popen(("exec setsid sh -c %s sh %s 2>/dev/null"):format(quote(remove), quote(directory)), "we")
end

-- vim keeps copies elsewhere: swap files, undo files, registers. What is called vi may be it.
local function without_copies(editor)
    local program = editor:match "^%S+"
    if not program:find "vim?$" and not program:find "vim%.[%w.]+$" then return editor end
    local pipe = io.popen(quote(program) .. " --version 2>/dev/null </dev/null")
    local said = pipe and pipe:read "*a" or ""
    if pipe then pipe:close() end
    if not said:find "^N?VIM" then return editor end
    return editor .. " -n -i NONE -c 'set nobackup nowritebackup noundofile noswapfile'"
end

local function editor()
    for _, name in ipairs { "VISUAL", "EDITOR" } do
        local value = os.getenv(name)
        if value and value:find "%S" then return without_copies(value) end
    end
    return without_copies "vi"
end

local function overwrite(path)
    local st = sys.lstat(path)
    if not st or st.type ~= "file" then return end
    local file = io.open(path, "r+b")
    if not file then return end
    file:write(("\0"):rep(st.size))
    file:close()
end

local function remove(directory, watcher)
    for _, name in ipairs(sys.list(directory) or {}) do overwrite(directory .. "/" .. name) end
    os.execute("rm -rf -- " .. quote(directory))
    if watcher then watcher:close() end
end

local function run_editor(path, name)
    io.stdout:flush()
    local status = os.execute(editor() .. " " .. quote(path))
    if status ~= 0 and status ~= true then fail(name .. ": the editor failed; nothing was changed") end
    local text, why = sys.read(path)
    if not text then fail(("%s: the edited text cannot be read: %s; nothing was changed"):format(name, why)) end
    return text
end

-- The text as somebody has left it.
local function edited(text, name)
    local directory = private_directory()
    local watcher = guard(directory)
    local path = directory .. "/" .. (name:match "[^/]+$" or "vault")
    local ok, result = pcall(function()
        local written, why = sys.write_atomic(path, text, { mode = 0x180 })
        if not written then fail("vault: cannot write " .. tostring(why), "file") end
        return run_editor(path, name)
    end)
    remove(directory, watcher)
    if not ok then error(result, 0) end
    return result
end

local function warn_of_lua(path, text)
    if not text:find "^%s*return%s" and not text:find "^%s*{" then return end
    local _, problem = vault.load(text)
    if type(problem) == "number" then problem = ("line %d is no Lua"):format(problem) end
    if problem then io.stderr:write(("orrery vault: %s was saved, but %s\n"):format(path, problem)) end
end

-- Commands ----------------------------------------------------------------------------------------

local commands = {}

local function must_not_exist(path)
    if sys.lstat(path) then fail(path .. ": there is such a file already", "file") end
end

function commands.create(path, opts)
    must_not_exist(path)
    local passphrase = first_passphrase(path, opts)
    local text = opts.stdin and io.stdin:read "*a" or edited(START, path)
    must_not_exist(path)
    vault.write(path, text, passphrase)
    warn_of_lua(path, text)
end

function commands.view(path, opts)
    io.stdout:write((vault.read(path, reading(opts))))
end

-- Somebody else may have saved another version in the meantime.
local function save(path, text, passphrase, sealed)
    local target = path
    if sys.read(path) ~= sealed then target = path .. ".edited" end
    vault.write(target, text, passphrase)
    warn_of_lua(target, text)
    if target ~= path then
        fail(("%s was changed by somebody else meanwhile; your text is in %s, encrypted"):format(path, target))
    end
end

function commands.edit(path, opts)
    local text, passphrase, sealed = vault.read(path, reading(opts))
    local after = opts.stdin and io.stdin:read "*a" or edited(text, path)
    if after ~= text then save(path, after, passphrase, sealed) end
end

function commands.rekey(path, opts)
    local text = vault.read(path, reading(opts))
    vault.write(path, text, new_passphrase(path, opts["new-passphrase-file"]))
end

local function read_plain(path)
    local text, why = sys.read(path)
    if not text then fail("vault: cannot read " .. tostring(why), "file") end
    if vault.is_vault(text) then fail(path .. ": this is a vault already") end
    return text
end

function commands.encrypt(path, opts)
    local text = read_plain(path)
    vault.write(opts.output or path, text, first_passphrase(path, opts))
end

function commands.decrypt(path, opts)
    local text = vault.read(path, reading(opts))
    if opts.output == "-" then
        io.stdout:write(text)
    else
        vault.write_file(opts.output or path, text)
    end
end

local NAMES = { "create", "view", "edit", "rekey", "encrypt", "decrypt" }

local function command(word)
    if not word then args.fail("vault", "what to do is missing: " .. table.concat(NAMES, ", ")) end
    if commands[word] then return commands[word] end
    local near = #word <= 64 and options.nearest(word, NAMES)
    args.fail("vault", ("unknown command '%s'%s"):format(word, near and (" (did you mean '%s'?)"):format(near) or ""))
end

---@param words string[] the command and its file
---@return integer status
function M.main(opts, words)
    local run = command(words[1])
    local at = args.read(words, 2, M.options, opts, "vault")
    local path = words[at]
    at = args.read(words, at + 1, M.options, opts, "vault")
    if not path then args.fail("vault", "the name of the file is missing") end
    if words[at] then args.fail("vault", ("one file at a time: what is '%s'?"):format(words[at])) end
    if core.no_core_dump then core.no_core_dump() end
    local ok, err = xpcall(run, Error.handler, path, opts)
    if ok then return OK end
    if not PLAIN[err.code] then error(err, 0) end
    io.stderr:write("orrery vault: ", require("orrery.cli.output").printable(err.message, 2), "\n")
    return FAILED
end

return M
