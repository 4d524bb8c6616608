--- Hosts on the command line: expressions (docs/inventory.md), and files with them.

local Error = require "orrery.error"
local nodeset = require "orrery.play.inventory.nodeset"

local M = {}

M.fold = nodeset.fold

local function fail(text) Error.raise { code = "usage", message = text } end

--- The names that an expression stands for, each once.
---@param text string "web[1-3],db1,deploy@app[08-10],@rack1!web2"
---@param inventory? orrery.Inventory where groups and wildcards come from
---@return string[]
---Raises "usage".
function M.expand(text, inventory)
    local ok, names = pcall(nodeset.expand, text, {
        lenient = true, resolver = inventory and inventory:resolver(),
    })
    if ok then return names end
    if Error.is(names) and names.code == "inventory" then
        local hint = not inventory and names.message:find("needs an inventory$") and ": say which with -i" or ""
        fail(names.message .. hint)
    end
    error(names, 0)
end

--- Reads a file with an expression on each line; # begins a comment.
---@param path string "-" is stdin
---@param inventory? orrery.Inventory
---@return string[]
---Raises "usage".
function M.read(path, inventory)
    local file, why = io.stdin, nil
    if path ~= "-" then file, why = io.open(path, "rb") end
    local text = file and file:read("*a")
    if not text then fail("cannot read the hosts in " .. (why or path .. ": it is a directory")) end
    if path ~= "-" then file:close() end
    local names = {}
    for line in text:gmatch("[^\r\n]+") do
        for _, name in ipairs(M.expand((line:gsub("#.*", "")), inventory)) do names[#names + 1] = name end
    end
    return names
end

return M
