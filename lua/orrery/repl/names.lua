--- What can be named in a context: fields of its values, its modules, its files, the options of its functions. For
--- the completion of what is typed, so it runs wherever that will run.
--
-- Nothing of the user's is ever called, no metamethod either: fields are read raw, and `__index` is followed where it
-- is a table. What an `__index` function of this library finds is known by orrery.options.

local options = require "orrery.options"
local tokens = require "orrery.repl.tokens"

local M = {}

local DEEPEST = 20 -- tables by way of which a field is looked for
local MOST_KEYS = 200000 -- of a table that are looked at

---@class orrery.repl.Name
---@field name string
---@field kind string the type of a value; "module", "package" (modules are below it), "directory", "file", "program"

local function is_name(text) return text:find "^[%a_\128-\255][%w_\128-\255]*$" ~= nil and not tokens.keywords[text] end

-- Values ------------------------------------------------------------------------------------------

-- The session of the prompt, if it has run anything in this context.
local function session()
    local ok, found = pcall(require, "orrery.repl.session")
    return ok and type(found) == "table" and found or nil
end

local function locals(id)
    local of = id and session()
    return of and of.locals(id) or {}
end

local function local_value(id, name)
    local of = id and session()
    if of then return of.lookup(id, name) end
    return false
end

local function index_of(value)
    local mt = debug.getmetatable(value)
    return type(mt) == "table" and rawget(mt, "__index") or nil
end

-- The tables in which a value's fields are, the nearest first; and what an `__index` function behind them finds.
local function layers(value)
    local list = {}
    while #list < DEEPEST do
        if type(value) == "table" then list[#list + 1] = value end
        local index = index_of(value)
        if type(index) == "function" then return list, options.fields(index) end
        if type(index) ~= "table" then break end
        value = index
    end
    return list
end

-- The value of a field; or nil, and who knows of it.
local function field(value, key)
    local list, more = layers(value)
    for _, layer in ipairs(list) do
        local found = rawget(layer, key)
        if found ~= nil then return found end
    end
    return nil, more
end

local function root(id, name)
    local found, value = local_value(id, name)
    if found then return value end
    return field(_G, name)
end

-- The value of a path; nil where nothing is known of it.
local function find(id, path, last)
    local value = root(id, path[1])
    for i = 2, last or #path do
        if value == nil then return nil end
        value = field(value, path[i])
    end
    return value
end

-- Fields ------------------------------------------------------------------------------------------

---@class orrery.repl.Gathered
---@field list orrery.repl.Name[]
---@field seen table<string, true>
---@field most integer
---@field wanted fun(name: string, kind: string): boolean

local function add(to, name, kind)
    if to.seen[name] or #to.list >= to.most then return end
    to.seen[name] = true
    if to.wanted(name, kind) then to.list[#to.list + 1] = { name = name, kind = kind } end
end

local function add_layer(to, layer)
    local looked = 0
    for key, value in next, layer do
        looked = looked + 1
        if looked > MOST_KEYS or #to.list >= to.most then return end
        if type(key) == "string" then add(to, key, type(value)) end
    end
end

local function add_value(to, value)
    local list, more = layers(value)
    for _, layer in ipairs(list) do add_layer(to, layer) end
    local ok, names = pcall(function() return more and more.names() end)
    for name, kind in pairs(ok and names or {}) do add(to, name, kind) end
end

-- Names that are for the language are not offered before their first letters are there.
local function wanted(prefix, method)
    local hidden = prefix:sub(1, 1) ~= "_" and "__" or nil
    return function(name, kind)
        if name:sub(1, #prefix) ~= prefix or (method == true and kind ~= "function") then return false end
        if method == "key" then return true end
        return is_name(name) and name:sub(1, 2) ~= hidden
    end
end

local function sorted(list)
    table.sort(list, function(a, b) return a.name < b.name end)
    return list
end

-- A value of which nothing is known, and which is called as playbooks call their hosts.
local function resources(path)
    local resource = #path == 1 and path[1] == "h" and package.loaded["orrery.play.host"]
    return resource and options.fields(resource.index)
end

local function add_locals(to, id)
    for _, name in ipairs(locals(id)) do
        local _, value = local_value(id, name)
        add(to, name, type(value))
    end
end

--- The fields of a value that begin in a way.
---@param id? string of the session, whose locals may be named
---@param path (string|number)[] how the value is reached: a local or a global, then fields; none: locals and globals
---@param method? boolean|"key" true: only functions; "key": also what is no name
---@param prefix string
---@param most integer
---@return orrery.repl.Name[] sorted
function M.fields(id, path, method, prefix, most)
    local to = { list = {}, seen = {}, most = most, wanted = wanted(prefix, method) }
    if #path == 0 then
        add_locals(to, id)
        add_value(to, _G)
        return sorted(to.list)
    end
    local value = find(id, path)
    if value ~= nil then
        add_value(to, value)
    else
        local more = method == true and resources(path)
        for name, kind in pairs(more and more.names() or {}) do add(to, name, kind) end
    end
    return sorted(to.list)
end

-- Options -----------------------------------------------------------------------------------------

---@class orrery.repl.Option
---@field name string
---@field types? string[]
---@field enum? any[] the values allowed

local PLAIN = { string = true, number = true, boolean = true }

local function plain_list(values)
    local list = {}
    for _, value in ipairs(values or {}) do
        if PLAIN[type(value)] then list[#list + 1] = value end
    end
    return list[1] ~= nil and list or nil
end

local function describe(name, spec)
    if type(spec) == "string" then return { name = name, types = { spec } } end
    if type(spec) ~= "table" then return { name = name } end
    if spec[1] ~= nil then return { name = name, types = plain_list(spec) } end
    local types = type(spec.type) == "string" and { spec.type } or spec.type
    return { name = name, types = plain_list(types), enum = plain_list(spec.enum) }
end

local function declared(id, path, method)
    if not method and #path == 1 then return options.of(root(id, path[1]) or false) end
    local owner = find(id, path, method and #path or #path - 1)
    local name = method or path[#path]
    local fn, more = field(owner, name)
    if type(fn) == "function" then return options.of(fn) end
    if method and owner == nil then more = resources { "h" } end
    return more and more.options and { schema = more.options(name) }
end

--- The options of a function.
---@param id? string
---@param path (string|number)[] how it is reached, or what its method `method` is of
---@param method? string
---@return orrery.repl.Option[]? list sorted; nil where nothing is known of it
---@return integer? at which argument they are; nil: whichever is a table
function M.options(id, path, method)
    local ok, found = pcall(declared, id, path, method)
    if not ok or not found or not found.schema then return nil end
    local list = {}
    for name, spec in pairs(found.schema) do
        if type(name) == "string" then list[#list + 1] = describe(name, spec) end
    end
    return sorted(list), found.at
end

-- Files -------------------------------------------------------------------------------------------

local function home(user)
    local sys = require "orrery.sys"
    if user == "" then return os.getenv "HOME" or (sys.user(sys.getuid()) or {}).home end
    return (sys.user(user) or {}).home
end

-- Where "~/" and "~user/" are.
local function expand(directory)
    local user, rest = directory:match "^~([^/]*)(/.*)$"
    if not user then return directory end
    local at = home(user)
    return at and at:gsub("/+$", "") .. rest or directory
end

local function names_in(directory, prefix)
    local list = {}
    for _, name in ipairs(require("orrery.sys").list(directory) or {}) do
        local hidden = name:sub(1, 1) == "." and prefix:sub(1, 1) ~= "."
        if name:sub(1, #prefix) == prefix and not hidden then list[#list + 1] = name end
    end
    table.sort(list)
    return list
end

--- The files whose paths begin in a way.
---@param prefix string "/etc/pa", "~/x"; relative to where the process is
---@param most integer
---@return orrery.repl.Name[] files by their names in that directory, sorted
---@return string directory in which they are, as it is typed, but for "~"; "" or with "/" at its end
function M.files(prefix, most)
    local sys = require "orrery.sys"
    local typed, base = prefix:match "^(.*/)([^/]*)$"
    local directory = expand(typed or "")
    local list = {}
    for i, name in ipairs(names_in(directory == "" and "." or directory, base or prefix)) do
        if i > most then break end
        local at = sys.stat(directory .. name)
        list[i] = { name = name, kind = at and at.type == "directory" and "directory" or "file" }
    end
    return list, directory
end

--- The programs in $PATH whose names begin in a way.
---@param prefix string
---@param most integer
---@return orrery.repl.Name[] sorted
function M.programs(prefix, most)
    local sys, list, seen = require "orrery.sys", {}, {}
    for directory in (os.getenv "PATH" or ""):gmatch "[^:]+" do
        for _, name in ipairs(names_in(directory, prefix)) do
            if #list >= most then return sorted(list) end
            if not seen[name] and sys.access(directory .. "/" .. name, "x") then
                seen[name], list[#list + 1] = true, { name = name, kind = "program" }
            end
        end
    end
    return sorted(list)
end

-- Modules -----------------------------------------------------------------------------------------

-- "orrery.play.host" for the prefix "orr": the part of it up to the next dot.
local function add_module(to, name)
    local dot = name:find(".", #to.prefix + 1, true)
    if name:sub(1, #to.prefix) ~= to.prefix or name:find "^_G" then return end
    if dot then add(to, name:sub(1, dot), "package") else add(to, name, "module") end
end

local function add_template(to, template)
    local head, tail = template:match "^([^?]*)%?([^?]*)$"
    if not head then return end
    local above, base = to.prefix:match "^(.*%.)([^.]*)$"
    local directory = head .. (above or ""):gsub("%.", "/")
    for _, file in ipairs(names_in(directory == "" and "." or directory, base or to.prefix)) do
        local name = file:sub(-#tail) == tail and file:sub(1, -#tail - 1) or nil
        if tail:sub(1, 1) == "/" and require("orrery.sys").stat(directory .. file .. tail) then name = file end
        if name and name:find "^[%w_][%w_-]*$" then add_module(to, (above or "") .. name) end
        if not name and file:find "^[%w_-]+$" and tail:sub(1, 1) == "." then
            to.directories[(above or "") .. file] = { directory .. file, tail }
        end
    end
end

-- What has a module in it.
local function add_directories(to)
    for name, each in pairs(to.directories) do
        for _, file in ipairs(names_in(each[1], "")) do
            if file:sub(-#each[2]) == each[2] then
                add(to, name .. ".", "package")
                break
            end
        end
    end
end

--- The modules that can be required, up to the next dot.
---@param prefix string
---@param most integer
---@return orrery.repl.Name[] sorted; a "package" has the dot at its end
function M.modules(prefix, most)
    local to = {
        list = {}, seen = {}, most = most, prefix = prefix, directories = {}, wanted = function() return true end,
    }
    for _, known in ipairs { package.loaded, package.preload } do
        for name in next, known do
            if type(name) == "string" then add_module(to, name) end
        end
    end
    for _, path in ipairs { package.path, package.cpath } do
        for template in path:gmatch "[^;]+" do add_template(to, template) end
    end
    add_directories(to)
    return sorted(to.list)
end

return M
