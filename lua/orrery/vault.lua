--- Vaults: encrypted files, for secrets that lie beside the scripts which use them. docs/secrets.md has the format.
--
--     orrery-vault 1 argon2id13 3 67108864 SALT CHECK SUM
--     lines of base64: nonce and box of libsodium's secretbox (XSalsa20-Poly1305)
--
-- The key comes from a passphrase by argon2id, with what the first line says. CHECK tells whether a passphrase is the
-- right one; SUM shows accidents to the line. The key for the box depends on the whole line, so that one cannot be put
-- in front of another box.

local core = require "orrery.core"
local Error = require "orrery.error"
local options = require "orrery.options"
local secret = require "orrery.secret"
local sys = require "orrery.sys"

local M = {}

--- The variable that names a file with the passphrase.
M.VARIABLE = "ORRERY_VAULT_PASSPHRASE_FILE"

local MAGIC, VERSION = "orrery-vault", 1
local OPERATIONS, MEMORY = 3, 64 * 1024 * 1024 -- the second choice of RFC 9106
local MOST_OPERATIONS, MOST_MEMORY = 20, 1024 * 1024 * 1024 -- a file must not be able to ask for more
local SALT = 16
local WIDTH = 76 -- of lines
local LARGEST = 64 * 1024 * 1024 -- bytes of a vault
local TRIES = 3
local MODE = 0x180 -- 0600
local OTHERS = 0x3f -- 0077
local LOG_WARN = 1

---@class orrery.VaultOptions
---@field passphrase? string|orrery.Secret
---@field passphrase_file? string its first line; default: $ORRERY_VAULT_PASSPHRASE_FILE. With neither, it is asked for
---@field raw? boolean the text as one secret, whatever is in it
---@field ask? boolean false: nobody is asked

local OPTIONS = {
    passphrase = { type = "string", secret = true }, passphrase_file = "string", raw = "boolean",
    ask = { type = "boolean", default = true },
}

local function fail(path, text, code)
    Error.raise { code = code or "vault", message = ("%s: %s"):format(path, text), at = Error.at() }
end

local function need_sodium()
    if core.vault_key then return end
    local where = core.parent() and "vaults are opened at the controller" or "libsodium does not start here"
    Error.raise { code = "vault", message = "vault: " .. where, at = Error.at() }
end

-- The format --------------------------------------------------------------------------------------

local function make_key(path, passphrase, salt, operations, memory)
    local key = core.vault_key(passphrase, salt, operations, memory)
    if not key then fail(path, ("argon2id found no %d MiB of memory"):format(memory / 1024 / 1024)) end
    return key
end

local function hex(bytes)
    return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

--- Encrypts a text.
---@param text string
---@param passphrase string
---@return string sealed what the file is to hold
---Raises "vault".
function M.seal(text, passphrase)
    need_sodium()
    if passphrase == "" then fail("vault", "an empty passphrase protects nothing") end
    local salt = core.vault_random(SALT)
    local key = make_key("vault", passphrase, salt, OPERATIONS, MEMORY)
    local head = ("%s %d argon2id13 %d %d %s %s"):format(MAGIC, VERSION, OPERATIONS, MEMORY, core.vault_encode(salt),
        core.vault_encode(core.vault_check(key)))
    head = head .. " " .. hex(core.vault_digest(head))
    local body = core.vault_encode(core.vault_seal(key, head, text))
    local lines = { head }
    for from = 1, #body, WIDTH do lines[#lines + 1] = body:sub(from, from + WIDTH - 1) end
    return table.concat(lines, "\n") .. "\n"
end

--- Does this text look like a vault?
---@param text string
---@return boolean
function M.is_vault(text) return text:sub(1, #MAGIC + 1) == MAGIC .. " " end

---@class orrery.vault.Sealed
---@field path string for messages
---@field head string
---@field body string
---@field operations integer
---@field memory integer
---@field salt string
---@field check string

local function between(number, from, to) return number and number >= from and number <= to and number % 1 == 0 end

-- What a file holds, as far as it can be read without the passphrase.
---@return orrery.vault.Sealed
local function parse(path, text)
    if not M.is_vault(text) then fail(path, "this is no vault: it does not begin with '" .. MAGIC .. "'") end
    local head, body = text:match "^([^\r\n]*)\r?\n(.*)$"
    if not head then fail(path, "the vault is damaged: there is nothing behind its first line") end
    local version = head:match "^%S+ (%d+) "
    if not version then fail(path, "the vault is damaged: its first line has no version") end
    if tonumber(version) ~= VERSION then
        fail(path, ("the vault has version %s; this orrery knows version %d"):format(version, VERSION))
    end
    local front, sum = head:match "^(.*) (%x+)$"
    if not front or hex(core.vault_digest(front)) ~= sum then
        fail(path, "the vault is damaged: its first line is not what it was")
    end
    local kind, operations, memory, salt, check = front:match "^%S+ %d+ (%S+) (%d+) (%d+) (%S+) (%S+)$"
    operations, memory = tonumber(operations), tonumber(memory)
    salt, check = salt and core.vault_decode(salt), check and core.vault_decode(check)
    if kind ~= "argon2id13" or not between(operations, 1, MOST_OPERATIONS) or not between(memory, 8192, MOST_MEMORY)
        or not salt or #salt ~= SALT or not check then
        fail(path, "the vault is damaged: its first line asks for what is not done")
    end
    return {
        path = path, head = head, body = body, operations = operations, memory = memory, salt = salt, check = check,
    }
end

-- The text, or nil where the passphrase is another one.
local function unseal(sealed, passphrase)
    local key = make_key(sealed.path, passphrase, sealed.salt, sealed.operations, sealed.memory)
    if not core.vault_equal(core.vault_check(key), sealed.check) then return nil end
    local box = core.vault_decode(sealed.body)
    local text = box and core.vault_open(key, sealed.head, box)
    if not text then
        fail(sealed.path, "the vault is damaged or was tampered with: the passphrase is right, but what follows is not "
            .. "what was encrypted with it")
    end
    return text
end

-- Passphrases -------------------------------------------------------------------------------------

---@type orrery.Secret[] that have opened a vault in this process
local proved = {}

local function remember(passphrase)
    for _, known in ipairs(proved) do
        if known:reveal() == passphrase then return end
    end
    proved[#proved + 1] = secret.new(passphrase)
end

--- The passphrase that a file has in its first line.
---@param path string
---@return string
---Raises "file", "vault".
function M.passphrase_of(path)
    local st = sys.stat(path)
    if st and st.type == "file" and st.mode % 64 ~= 0 and require("bit").band(st.mode, OTHERS) ~= 0 then
        core.log(LOG_WARN, "vault", ("%s can be read by others (mode %04o)"):format(path, st.mode))
    end
    local file, why = io.open(path, "r")
    if not file then fail("vault", "the file of the passphrase: " .. why, "file") end
    local line = file:read "*l"
    file:close()
    line = line and line:gsub("\r$", "") or ""
    if line == "" then fail(path, "there is no passphrase in its first line") end
    secret.new(line)
    return line
end

---@type string[] files with passphrases, for vaults of which nothing else is said
local files = {}

--- Names files with passphrases for all vaults that this process opens, instead of the one of the variable. The first
--- that is the right one is used.
---@param paths string[]
function M.passphrase_files(paths) files = paths end

-- Those that are to be tried, and where they are from; nothing where only a person can say one.
local function candidates(opts)
    if opts.passphrase then return { { opts.passphrase } } end
    local variable = os.getenv(M.VARIABLE)
    local paths = opts.passphrase_file and { opts.passphrase_file } or #files > 0 and files or { variable }
    local list = {}
    for _, path in ipairs(paths) do
        if path ~= "" then list[#list + 1] = { M.passphrase_of(path), path } end
    end
    return list
end

local function wrong(path, tried)
    local from = {}
    for _, each in ipairs(tried or {}) do from[#from + 1] = each[2] end
    local where = #from > 0 and " in " .. table.concat(from, ", ") or ""
    fail(path, ("the passphrase%s is not the one of this vault"):format(where))
end

local function try_all(sealed, list)
    for _, each in ipairs(list) do
        local plain = unseal(sealed, each[1])
        if plain then return plain, each[1] end
    end
end

local function ask_until_right(sealed)
    for n = 1, TRIES do
        local text = n == 1 and "Passphrase of %s: " or "That is not it. Passphrase of %s: "
        local said = secret.prompt(text:format(sealed.path)):reveal()
        local plain = unseal(sealed, said)
        if plain then return plain, said end
    end
    wrong(sealed.path)
end

local function open_sealed(sealed, opts)
    local given, known = candidates(opts), {}
    local plain, passphrase = try_all(sealed, given)
    if plain then return plain, passphrase end
    if #given > 0 then wrong(sealed.path, given) end
    for i, each in ipairs(proved) do known[i] = { each:reveal() } end
    plain, passphrase = try_all(sealed, known)
    if plain then return plain, passphrase end
    if not opts.ask then fail(sealed.path, "there is no passphrase, and nobody is to be asked") end
    return ask_until_right(sealed)
end

-- Files -------------------------------------------------------------------------------------------

local function read_file(path)
    local text, why = sys.read(path, LARGEST)
    if not text then fail("vault", "cannot read " .. tostring(why), "file") end
    return text
end

--- What a vault holds.
---@param path string
---@param opts? orrery.VaultOptions
---@return string text
---@return string passphrase that opened it
---@return string sealed the file as it was
---Raises "file"; "vault" for what is none, is damaged, or has another passphrase; what asking raises.
function M.read(path, opts)
    opts = options.check("vault", opts, OPTIONS)
    need_sodium()
    local sealed = read_file(path)
    local plain, passphrase = open_sealed(parse(path, sealed), opts)
    remember(passphrase)
    return plain, passphrase, sealed
end
options.declare(M.read, OPTIONS, 2)

--- Writes a vault: at once, or not at all. Its mode and owner stay; a new one is its owner's alone.
---@param path string
---@param text string
---@param passphrase string
---Raises "file", "vault".
function M.write(path, text, passphrase)
    M.write_file(path, M.seal(text, passphrase))
    remember(passphrase)
end

--- The same for what is a vault already, or none any more.
---@param path string
---@param content string
---@param mode? integer default: as it is, or 0600
---Raises "file".
function M.write_file(path, content, mode)
    local real = sys.realpath(path) or path
    local st = sys.stat(real)
    local attributes = { mode = mode or st and st.mode or MODE, sync = true }
    if st and sys.getuid() == 0 then attributes.uid, attributes.gid = st.uid, st.gid end
    local ok, why = sys.write_atomic(real, content, attributes)
    if not ok then fail("vault", "cannot write " .. tostring(why), "file") end
end

-- Values ------------------------------------------------------------------------------------------

--- The table that a text of Lua makes: `return { ... }`, or what stands between the braces with them.
---@param text string
---@return table? value
---@return integer|string? line that is wrong; or what is
function M.load(text)
    local chunk, why = loadstring(text, "=vault")
    if not chunk and text:find "^%s*{" then chunk, why = loadstring("return " .. text, "=vault") end
    -- What Lua says has a piece of the text in it.
    if not chunk then return nil, tonumber(why:match "^vault:(%d+):") or 1 end
    setfenv(chunk, {})
    local ok, value = pcall(chunk)
    if not ok then return nil, tonumber(tostring(value):match "^vault:(%d+):") or 1 end
    if type(value) ~= "table" then return nil, "it returns no table" end
    return value
end

local function hide(value)
    if type(value) == "string" then return secret.new(value) end
    if type(value) ~= "table" then return value end
    local hidden = {}
    for key, each in pairs(value) do hidden[key] = hide(each) end
    return hidden
end

---@type table<string, { sealed: string, plain: string }> by path: deriving a key takes long
local opened = {}

local function read_again(path, opts)
    local before = opened[path]
    if before and read_file(path) == before.sealed and not opts.passphrase then return before.plain end
    local plain, _, sealed = M.read(path, opts)
    opened[path] = { sealed = sealed, plain = plain }
    return plain
end

--- What a vault holds: a table of Lua, in which each text is a secret; or, with `raw`, one secret.
---@param path string
---@param opts? orrery.VaultOptions
---@return table|orrery.Secret
---Raises as read; "vault" where there is no table in it.
function M.open(path, opts)
    opts = options.check("secret.vault", opts, OPTIONS)
    local plain = read_again(path, opts)
    if opts.raw then return secret.new(plain) end
    local value, problem = M.load(plain)
    if value then return hide(value) end
    if type(problem) == "number" then problem = ("line %d of it is no Lua"):format(problem) end
    return fail(path, problem .. "; raw = true gives its text")
end
options.declare(M.open, OPTIONS, 2)

return M
