--- Resources: what can be asked for on a target, each a module that says how it is checked and mended.
--
--     return resource.define {
--         name = "motd", doc = "What is said to who logs in.",
--         options = { text = { type = "string", required = true, doc = "what to say" } },
--         check = function(o, env) ... return plan, out end,
--         apply = function(o, plan, env) ... return out end,
--     }
--
-- Built-in ones are modules orrery.play.resources.NAME, read when they are first used. One of the user's own is known
-- from when its module is required. The target gets to know it by its module's name, or, where it was defined in the
-- script itself, as a value.

local Error = require "orrery.error"
local options = require "orrery.options"
local schema = require "orrery.play.schema"

local M = {}

--- What names of modules of built-in resources begin with.
M.BUILT_IN = "orrery.play.resources."
local BUILT_IN = M.BUILT_IN

---@class orrery.play.Resource
---@field name string
---@field doc string
---@field options orrery.play.Schema
---@field check fun(o: table, env: orrery.play.Env): table?, table? plan, out
---@field apply? fun(o: table, plan: table, env: orrery.play.Env): table? out
---@field returns? table<string, string> what the result has besides
---@field example? string
---@field validate? fun(o: table): string? what is wrong with these options together; nil: nothing
---@field subject? string the option that says what a step is about, for its name
---@field positional? string[] options for what is given without names: h:shell "text"
---@field rest? string the option for all that is left of that, a list
---@field side? "target"|"controller"|fun(o: table): string? where it is done: see orrery.play.here
---@field vars? boolean it wants the host's variables, as env.vars: those whose names are in its files
---@field facts? string[] groups of facts that it always asks for: they come along
---@field more_files? fun(text: string, name: string): string[] for the controller: what a file needs besides

---@type table<string, orrery.play.Resource> those that were defined in this process
local defined = {}

local FIELDS = {
    name = { type = "string", required = true }, doc = { type = "string", required = true },
    options = { type = "map", required = true }, returns = { type = "map" }, example = { type = "string" },
    check = { type = "function", required = true }, apply = { type = "function" }, validate = { type = "function" },
    subject = { type = "string" }, positional = { type = "list", of = "string" }, rest = { type = "string" },
    side = { type = { "string", "function" } }, vars = { type = "boolean" }, more_files = { type = "function" },
    facts = { type = "list", of = "string" },
}

--- Defines a resource. The module that does so returns it.
---@param definition orrery.play.Resource takes the table
---@return orrery.play.Resource
---Raises "option" for what is wrong with it.
function M.define(definition)
    if type(definition) ~= "table" then
        Error.raise { code = "argument", message = "resource.define: a table was expected", at = Error.at() }
    end
    schema.check("resource.define", definition, FIELDS)
    local where = ("resource '%s'"):format(definition.name)
    if not definition.name:match "^[%a_][%w_]*$" then
        Error.raise { code = "option", message = where .. ": that is no name for a method", at = Error.at() }
    end
    schema.validate(where, definition.options)
    for name in pairs(definition.options) do
        if M.MODIFIERS[name] and not M.SHADOWABLE[name] then
            local text = "%s: every resource has an option '%s', with another meaning"
            Error.raise { code = "option", message = text:format(where, name), at = Error.at() }
        end
    end
    defined[definition.name] = definition
    return definition
end

--- Raises that something could not be done: "cannot create /srv/x: Permission denied".
---@param message string|table a text, or fields of the error: `message`, and `result`, what there is of it nonetheless
---Raises "resource".
function M.fail(message)
    local fields = type(message) == "table" and message or { message = tostring(message) }
    fields.code = fields.code or "resource"
    Error.raise(fields)
end

--- What a function of orrery.sys returned, or an error that says what was tried. What they say begins with the path:
--- `must("create", sys.mkdir(path))` raises "cannot create /srv/x: Permission denied".
---@param what string "cannot <what>" begins the message
---@param value any
---@param why? string
---@param code? string "ENOENT"
---@return any value
---Raises "resource".
function M.must(what, value, why, code)
    if value == nil then
        Error.raise { code = "resource", errno = code, message = ("cannot %s %s"):format(what, why or "it") }
    end
    return value
end

-- Modifiers ---------------------------------------------------------------------------------------

local TEXTS = { "string", "list" }

--- What every resource takes besides; handled by the engine.
---@type orrery.play.Schema
M.MODIFIERS = {
    when = {
        type = { "function", "boolean" },
        doc = "whether to do it at all: a function of the results so far and facts, or a value",
    },
    notify = { type = TEXTS, of = "string", doc = "handlers to run at the end of the play if this changed something" },
    tags = { type = TEXTS, of = "string", doc = "names by which --tags and --skip-tags choose" },
    retries = { type = "integer", doc = "how often to try again when it fails, or while `until_` does not hold" },
    delay = { type = "duration", doc = "time between two tries, 1 s by default" },
    until_ = { type = "function", doc = "a function of the result: it is tried again until that returns true" },
    changed_when = {
        type = { "function", "boolean" }, doc = "a function of the result, or a value: whether this counts as a change",
    },
    failed_when = {
        type = { "function", "boolean" },
        doc = "a function of the result: true, or a text that says why, is a failure; false: what failed has not",
    },
    ignore_errors = { type = "boolean", doc = "go on after a failure; the result has `failed` and `error`" },
    check_mode = { type = "boolean", doc = "false: do it also in check mode; true: only ever check it" },
    no_log = { type = "boolean", doc = "show nothing of its options, output and changes" },
    env = { type = "map", doc = "variables for the commands that it runs; false unsets one" },
    as = {
        type = { "string", "map", "boolean" },
        doc = "the user to do it as: a name, { user =, method = \"sudo\" }, true for root; false: whoever logs in",
    },
    timeout = { type = "duration", doc = "time for each try, after which it has failed" },
    run_once = { type = "boolean", doc = "on the first host of the play only; all hosts get its result" },
    delegate_to = { type = "any", doc = "the host, or context, to do it on instead" },
}

--- Modifiers by which a resource may call an option of its own, which is meant then. `name` is one that most want.
M.SHADOWABLE = { name = true, env = true, timeout = true, delay = true, retries = true }

--- The name of a step, for people, is an option of resources that have no `name` of their own.
M.TITLE = { type = "string", doc = "what to call this step" }

--- Sorts what was given into the resource's options and modifiers.
---@param definition orrery.play.Resource
---@param given table
---@return table options
---@return table modifiers
function M.divide(definition, given)
    local own, modifiers = {}, {}
    for key, value in pairs(given) do
        if definition.options[key] then
            own[key] = value
        elseif M.MODIFIERS[key] or key == "name" or key == "title" then
            modifiers[key] = value
        else
            own[key] = value -- for the error, which knows the others
        end
    end
    return own, modifiers
end

local function known_modifiers()
    local known = { name = M.TITLE, title = M.TITLE }
    for key, option in pairs(M.MODIFIERS) do known[key] = option end
    return known
end
local MODIFIERS_SCHEMA = known_modifiers()

--- All that can be said of a step: the resource's options, and what every resource takes.
---@param name string of a resource
---@return orrery.play.Schema? schema nil where there is no such resource
function M.all_options(name)
    local definition = M.find(name)
    if not definition then return nil end
    local all = {}
    for key, option in pairs(MODIFIERS_SCHEMA) do all[key] = option end
    for key, option in pairs(definition.options) do all[key] = option end
    return all
end

local function revealed(secret, value)
    if secret.is(value) then return secret.reveal(value) end
    if type(value) ~= "table" or getmetatable(value) then return value end
    local copy = {}
    for key, each in pairs(value) do copy[key] = revealed(secret, each) end
    return copy
end

-- What is judged has no secrets in it any more, and what is said of it does not tell them.
local function judged(definition, checked)
    if not definition.validate then return nil end
    local secret = package.loaded["orrery.secret"]
    if not secret then return definition.validate(checked) end
    local wrong = definition.validate(revealed(secret, checked))
    return wrong and secret.redact(wrong)
end

--- Checks options and modifiers of a step.
---@param definition orrery.play.Resource
---@param own table
---@param modifiers table
---@param at? string
---@return table options as the resource gets them
---@return table modifiers
---Raises "option".
function M.check_options(definition, own, modifiers, at)
    local checked = schema.check(definition.name, own, definition.options, at)
    local wrong = judged(definition, checked)
    if wrong then
        Error.raise { code = "option", message = ("%s: %s"):format(definition.name, wrong), at = at or Error.at() }
    end
    return checked, schema.check(definition.name, modifiers, MODIFIERS_SCHEMA, at)
end

--- Is a step of it done at the controller?
---@param definition orrery.play.Resource
---@param o table options
---@return boolean
function M.is_here(definition, o)
    local side = definition.side
    if type(side) == "function" then side = side(o) end
    return side == "controller"
end

-- Finding -----------------------------------------------------------------------------------------

local function is_definition(value)
    return type(value) == "table" and type(value.check) == "function" and type(value.options) == "table"
end

--- Is there such a module in this process?
---@param module string
---@return boolean
function M.module_exists(module)
    if package.loaded[module] or package.preload[module] then return true end
    return package.searchpath(module, package.path) ~= nil
end

--- The resource of a name: one that was defined, or a built-in one. On a target this may ask the controller, and block.
---@param name string
---@return orrery.play.Resource? resource nil where there is none
function M.find(name)
    if defined[name] then return defined[name] end
    if type(name) ~= "string" or not name:match "^[%a_][%w_]*$" then return nil end
    if not M.on_target and not M.module_exists(BUILT_IN .. name) then return nil end
    local ok, found = pcall(require, BUILT_IN .. name)
    if ok and is_definition(found) then return found end
    local absent = Error.is(found) and found.code == "module" and tostring(found.message):find("not found", 1, true)
    if not ok and not absent then error(found, 0) end
end

--- The module by which the target finds a resource.
---@param definition orrery.play.Resource
---@return string? module nil: it was defined in no module, and travels as a value
function M.module_of(definition)
    if package.loaded[BUILT_IN .. definition.name] == definition then return BUILT_IN .. definition.name end
    for module, value in pairs(package.loaded) do
        if value == definition then return module end
    end
    for module, value in pairs(package.loaded) do -- one of several that a module has
        if type(value) == "table" and module ~= "_G" then
            for _, field in pairs(value) do
                if rawequal(field, definition) then return module end
            end
        end
    end
end

--- Takes over a definition that came as a value.
---@param definition orrery.play.Resource
function M.adopt(definition) defined[definition.name] = definition end

local function add_files(found, directory)
    for _, file in ipairs(require("orrery.sys").list(directory) or {}) do
        local name = file:match "^([%a_][%w_]*)%.lua$"
        if name then found[name] = true end
    end
end

--- The names of all resources that there are: built-in and defined.
---@return string[] sorted
function M.names()
    local found, names = {}, {}
    for name in pairs(defined) do found[name] = true end
    for module in pairs(package.preload) do
        local name = module:match "^orrery%.play%.resources%.([%a_][%w_]*)$"
        if name then found[name] = true end
    end
    for template in package.path:gmatch "[^;]+" do
        local directory = template:match "^(.*/)%?%.lua$" or template == "?.lua" and "./"
        if directory then add_files(found, directory .. "orrery/play/resources") end
    end
    for name in pairs(found) do names[#names + 1] = name end
    table.sort(names)
    return names
end

local function guess(name)
    local near = type(name) == "string" and #name <= 64 and options.nearest(name, M.names())
    return near and ("; did you mean '%s'?"):format(near) or ""
end

--- Raises that there is no such resource, with the one that was probably meant. A target does not know which there are:
--- see `explain`.
---@param name any
---@param at? string
---Raises "option".
function M.unknown(name, at)
    local message = ("there is no resource '%s'"):format(tostring(name))
    if not M.on_target then message = message .. guess(name) end
    Error.raise {
        code = "option", message = message, at = at or Error.at(), no_resource = M.on_target and name or nil,
    }
end

--- Adds to an error of a target's what was probably meant, where it has asked for a resource that is not there.
---@param err orrery.Error
---@return orrery.Error err the same
function M.explain(err)
    if err.no_resource ~= nil then
        err.message, err.no_resource = tostring(err.message) .. guess(err.no_resource), nil
    end
    return err
end

return M
