--- orrery doc: what there is to know of a resource.

local args = require "orrery.cli.args"
local describe = require "orrery.play.describe"
local Error = require "orrery.error"
local options = require "orrery.options"
local resource = require "orrery.play.resource"

local M = {}

---@type orrery.cli.Option[]
M.options = { { name = "types" }, { name = "modifiers" }, { name = "markdown" } }

local function directory(path) return path:match "^(.*)/[^/]*$" or "." end

-- A file of the user's, which defines one or several.
local function of_file(path)
    local chunk, why = loadfile(path)
    if not chunk then Error.raise { code = "usage", message = "orrery doc: " .. why } end
    local dir = directory(path)
    package.path = ("%s/?.lua;%s/?/init.lua;%s"):format(dir, dir, package.path)
    local defined, define = {}, resource.define
    function resource.define(definition)
        defined[#defined + 1] = define(definition)
        return definition
    end
    local ok, err = xpcall(chunk, Error.handler)
    resource.define = define
    if not ok then error(err, 0) end
    if #defined == 0 then
        Error.raise { code = "usage", message = ("orrery doc: %s defines no resource"):format(path) }
    end
    return defined
end

local function of_name(name)
    local definition = resource.find(name)
    if definition then return { definition } end
    local near = #name <= 64 and options.nearest(name, resource.names())
    local hint = near and (" (did you mean '%s'?)"):format(near) or ""
    args.fail("doc", ("there is no resource '%s'%s"):format(name, hint))
end

local function texts(words)
    local parts = {}
    for _, word in ipairs(words) do
        for _, definition in ipairs(word:find "%.lua$" and of_file(word) or of_name(word)) do
            parts[#parts + 1] = describe.text(definition)
        end
    end
    return table.concat(parts, "\n")
end

---@param words string[] names of resources, and files that define some
---@return integer status
function M.main(opts, words)
    local text
    if opts.types then
        text = describe.types()
    elseif opts.markdown then
        text = describe.markdown()
    elseif opts.modifiers then
        text = describe.modifiers()
    elseif words[1] then
        text = texts(words)
    else
        text = describe.list()
    end
    io.stdout:write(text)
    return 0
end

return M
