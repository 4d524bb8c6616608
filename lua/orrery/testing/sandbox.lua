--- A host that is not one: this machine, with a file system whose changes go away; see orrery.testing.

local Error = require "orrery.error"
local options = require "orrery.options"

local M = {}

---@class orrery.testing.Sandbox
---@field name string
---@field kind "overlay"|"directory"
---@field root string "" in an overlay; the directory
---@field ctx orrery.Context
local Sandbox = {}
Sandbox.__index = Sandbox

-- In a mount namespace of its own, so that nothing of it is left when the last process has ended. (Those of a user
-- namespace cannot have all of this machine's root below them.) What is changed goes to a tmpfs. Other file systems
-- than the root are not in it, but for what a program needs.
local ENTER = [[
set -e
mount --make-rprivate /
mount -t tmpfs orrery-sandbox %s
cd %s
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work root
mount --rbind /dev root/dev
mount -t proc proc root/proc
for place in tmp run var/tmp; do mount -t tmpfs tmpfs root/$place; done
chmod 1777 root/tmp root/var/tmp
hostname %s 2>/dev/null || :
exec chroot root sh -c '{}']]

local function new_directory()
    local sys = require "orrery.sys"
    local path, why = sys.mkdtemp "/tmp/orrery-sandbox-"
    if not path then Error.raise { code = "file", message = "cannot make a sandbox: " .. tostring(why) } end
    return path
end

local function overlay(self)
    if require("orrery.sys").getuid() ~= 0 then
        Error.raise { code = "denied", message = "an overlay takes root" }
    end
    return require("orrery").exec {
        "unshare", "-m", "-u", "-i", "-p", "-f", "--kill-child", "--", "sh", "-c",
        ENTER:format(self.directory, self.directory, self.name), name = self.name,
    }
end

local OPTIONS = {
    name = {
        type = "string", default = "sandbox",
        check = function(name) return name:find "^[%w._-]+$", "must be a host's name" end,
    },
    kind = { enum = { "auto", "overlay", "directory" }, default = "auto" },
}

--- Makes a sandbox.
---@param opts? { name?: string, kind?: "auto"|"overlay"|"directory" }
---@return orrery.testing.Sandbox
---Raises what opening raises, where an overlay is asked for and cannot be had.
function M.open(opts)
    opts = options.check("sandbox", opts, OPTIONS)
    local self = setmetatable({ name = opts.name, directory = new_directory() }, Sandbox)
    local ok, ctx = false, nil
    if opts.kind ~= "directory" then ok, ctx = pcall(overlay, self) end
    if not ok and opts.kind == "overlay" then
        require("orrery.sys").rmdir(self.directory)
        error(ctx, 0)
    end
    self.kind, self.root = ok and "overlay" or "directory", ok and "" or self.directory
    self.ctx = ok and ctx or require("orrery").localhost { name = self.name }
    return self
end
options.declare(M.open, OPTIONS, 1)

--- Throws it away, with all that runs in it.
function Sandbox:close()
    if self.kind == "directory" then self.ctx:run { "rm", "-rf", "--", self.directory } end
    self.ctx:close()
    require("orrery.sys").rmdir(self.directory)
end

-- Looking -------------------------------------------------------------------------------------------

local function where(self, path) return self.root .. path end

local function fail(self, text, ...)
    Error.raise { code = "resource", at = Error.at(), message = ("%s: " .. text):format(self.name, ...) }
end

--- What there is at a path, as orrery.sys.lstat has it, or nil.
---@param path string
---@return table?
function Sandbox:stat(path) return (self.ctx:call("orrery.sys.lstat", where(self, path))) end

--- The content of a file.
---@param path string
---@return string? content nil where it cannot be read
function Sandbox:read(path) return (self.ctx:call("orrery.sys.read", where(self, path))) end

--- Runs a command in it.
---@param argv string[]|string a list, or a line for sh
---@return orrery.CommandResult
function Sandbox:run(argv)
    if type(argv) == "string" then argv = { "sh", "-c", argv } end
    return self.ctx:run(argv, { check = false })
end

local function shown(text) return (("%q"):format(text):gsub("\\\n", "\\n")) end

-- Assertions ----------------------------------------------------------------------------------------

local FILE = {
    type = "string", mode = "string", owner = "string", group = "string", content = "string", contains = "string",
    target = "string",
}

local function check_field(self, path, name, wanted, found)
    if wanted ~= nil and wanted ~= found then
        fail(self, "%s: its %s is %s, and should be %s", path, name, tostring(found), tostring(wanted))
    end
end

--- There must be a file, or what `type` says, with these properties.
---@param path string
---@param expected? { type?: string, mode?: string, owner?: string, group?: string, content?: string,
---contains?: string, target?: string } `mode` as "644", `type` as orrery.sys.lstat has it
---@return table stat
---Raises what is different.
function Sandbox:has_file(path, expected)
    expected = options.check("has_file", expected, FILE)
    local stat = self:stat(path)
    if not stat then fail(self, "there is no %s", path) end
    check_field(self, path, "type", expected.type, stat.type)
    check_field(self, path, "mode", expected.mode, ("%o"):format(stat.mode))
    check_field(self, path, "owner", expected.owner, stat.owner)
    check_field(self, path, "group", expected.group, stat.group)
    check_field(self, path, "target", expected.target, stat.target)
    if not expected.content and not expected.contains then return stat end
    local content = self:read(path)
    check_field(self, path, "content", expected.content, content)
    if expected.contains and not (content or ""):find(expected.contains, 1, true) then
        fail(self, "%s does not contain %s", path, shown(expected.contains))
    end
    return stat
end
options.declare(Sandbox.has_file, FILE, 2)

--- There must be nothing at a path.
---@param path string
function Sandbox:has_no_file(path)
    local stat = self:stat(path)
    if stat then fail(self, "there is a %s %s", stat.type, path) end
end

local COMMAND = { code = { type = "number", default = 0 }, stdout = "string", contains = "string" }

--- A command must end with a status, and say what is expected.
---@param argv string[]|string
---@param expected? { code?: integer, stdout?: string, contains?: string }
---@return orrery.CommandResult
function Sandbox:runs(argv, expected)
    expected = options.check("runs", expected, COMMAND)
    local what = type(argv) == "table" and table.concat(argv, " ") or argv
    local r = self:run(argv)
    if r.code ~= expected.code then
        fail(self, "%s ended with status %d, and should with %d: %s", what, r.code, expected.code, r.stderr)
    end
    check_field(self, what, "output", expected.stdout, r.stdout)
    if expected.contains and not r.stdout:find(expected.contains, 1, true) then
        fail(self, "%s does not say %s but %s", what, shown(expected.contains), shown(r.stdout))
    end
    return r
end
options.declare(Sandbox.runs, COMMAND, 2)

local SERVICE = { running = { type = "boolean", default = true }, enabled = "boolean" }

local function is_running(self, name)
    if self:run { "sh", "-c", "[ -d /run/systemd/system ]" }.code == 0 then
        return self:run { "systemctl", "is-active", "--quiet", name }.code == 0
    end
    return self:run { "service", name, "status" }.code == 0
end

local ENABLED = 'ls /etc/systemd/system/*.wants/"$1".service /etc/rc[2-5].d/S??"$1" 2>/dev/null | grep -q .'

--- A service must run, or not, and be started at boot, or not. In a sandbox there is no systemd, so it is asked by its
--- own script; whether it is enabled is read from the files that say so.
---@param name string
---@param expected? { running?: boolean, enabled?: boolean }
function Sandbox:has_service(name, expected)
    expected = options.check("has_service", expected, SERVICE)
    if is_running(self, name) ~= expected.running then
        fail(self, "service %s %s", name, expected.running and "does not run" or "runs")
    end
    if expected.enabled == nil then return end
    local enabled = self:run({ "sh", "-c", ENABLED, "sh", name }).code == 0
    if enabled ~= expected.enabled then
        fail(self, "service %s %s at boot", name, enabled and "is started" or "is not started")
    end
end
options.declare(Sandbox.has_service, SERVICE, 2)

return M
