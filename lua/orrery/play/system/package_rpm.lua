--- What rpm knows, for the managers that are built on it.

local resource = require "orrery.play.resource"
local tool = require "orrery.play.system.tool"

local M = {}

local FORMAT = "%{NAME}\\t%{VERSION}-%{RELEASE}\\t%{ARCH}\\n"

--- Reads what `rpm -q` says in that format; what is not installed has a line in words.
---@param output string
---@return table<string, string> versions by name, and by name.arch
function M.parse(output)
    local versions = {}
    for name, version, arch in output:gmatch "([^\t\n]+)\t([^\t\n]+)\t([^\t\n]+)\n" do
        versions[name], versions[name .. "." .. arch] = version, version
    end
    return versions
end

--- Versions of those that are installed. A name that none has may be something that an installed one provides.
---@param env orrery.play.Env
---@param list orrery.play.Wanted[]
---@return table<string, string>
function M.installed(env, list)
    local names = {}
    for i, wanted in ipairs(list) do names[i] = wanted.name end
    local found, versions = M.parse(tool.look(env, tool.words("rpm", "-q", "--qf", FORMAT, names)).stdout), {}
    for _, name in ipairs(names) do
        versions[name] = found[name]
        if not versions[name] and name:sub(1, 1) ~= "@" then
            local r = tool.look(env, { "rpm", "-q", "--whatprovides", "--qf", FORMAT, name })
            if r.code == 0 then versions[name] = r.stdout:match "^[^\t\n]+\t([^\t\n]+)\t" end
        end
    end
    return versions
end

--- Names as these managers take them: "nginx-1.22.1-9".
---@param list orrery.play.Wanted[]
---@param glue string between name and version
---@return string[]
function M.specs(list, glue)
    local words = {}
    for i, wanted in ipairs(list) do
        words[i] = wanted.version and wanted.name .. glue .. wanted.version or wanted.name
    end
    return words
end

--- Runs a command that changes packages, which goes on if the connection ends.
---@param env orrery.play.Env
---@param what string
---@param argv string[]
---@return orrery.CommandResult
---Raises "resource".
function M.run(env, what, argv)
    local r = tool.run(env, argv)
    if r.code == 0 then return r end
    resource.fail {
        message = ("cannot %s: %s"):format(what, tool.reason(r)),
        result = { code = r.code, stdout = r.stdout, stderr = r.stderr },
    }
end

return M
