--- Globs, as in a shell: * and ? do not cross a /, ** does; [abc], [!a-z], {a,b}.

local M = {}

-- { and } nest in no glob that people write; one level.
local function alternatives(glob)
    local head, inside, tail = glob:match "^(.-){([^{}]*)}(.*)$"
    if not head or head:sub(-1) == "\\" then return { glob } end
    local all = {}
    for part in (inside .. ","):gmatch "(.-)," do
        for _, rest in ipairs(alternatives(tail)) do all[#all + 1] = head .. part .. rest end
    end
    return all
end

local function set(glob, at)
    local negated, body, behind = glob:match("^%[([!^]?)(%]?[^%]]*)%]()", at)
    if not body then return nil end
    local text = body:gsub("[%%%]%[%^]", "%%%0")
    return ("[%s%s]"):format(negated ~= "" and "^/" or "", text), behind
end

local function translate(glob)
    local out, at = { "^" }, 1
    while at <= #glob do
        local c = glob:sub(at, at)
        local text, behind
        if glob:sub(at, at + 2) == "**/" then
            text, behind = "\1", at + 3 -- see below: any directories, or none
        elseif glob:sub(at, at + 1) == "**" then
            text, behind = ".*", at + 2
        elseif c == "*" then
            text, behind = "[^/]*", at + 1
        elseif c == "?" then
            text, behind = "[^/]", at + 1
        elseif c == "[" then
            text, behind = set(glob, at)
        elseif c == "\\" and at < #glob then
            text, behind = glob:sub(at + 1, at + 1):gsub("%W", "%%%0"), at + 2
        end
        out[#out + 1] = text or c:gsub("%W", "%%%0")
        at = behind or at + 1
    end
    out[#out + 1] = "$"
    return table.concat(out)
end

-- Lua has no optional group, so "**/" becomes one pattern without and one with.
local function variants(pattern)
    local at = pattern:find("\1", 1, true)
    if not at then return { pattern } end
    local all = {}
    for _, rest in ipairs(variants(pattern:sub(at + 1))) do
        all[#all + 1] = pattern:sub(1, at - 1) .. rest
        all[#all + 1] = pattern:sub(1, at - 1) .. ".*/" .. rest
    end
    return all
end

--- Compiles globs into a function that tells whether a text is what one of them says.
---@param globs string[]
---@return fun(text: string): boolean
function M.any(globs)
    local patterns = {}
    for _, glob in ipairs(globs) do
        for _, one in ipairs(alternatives(glob)) do
            for _, pattern in ipairs(variants(translate(one))) do patterns[#patterns + 1] = pattern end
        end
    end
    return function(text)
        for _, pattern in ipairs(patterns) do
            if text:find(pattern) then return true end
        end
        return false
    end
end

--- Exclusions as rsync has them: a glob with a / in it is about the path from the top (a leading / may say so), one
--- without is about the name at any depth; a / at the end means directories alone.
---@param globs string[]
---@return fun(path: string, is_dir: boolean): boolean
function M.excluder(globs)
    local tests = {}
    for _, glob in ipairs(globs) do
        local dirs_only = glob:sub(-1) == "/"
        local bare = glob:gsub("/+$", "")
        local anchored = bare:find("/", 1, true) ~= nil
        local test = M.any { (bare:gsub("^/", "")) }
        tests[#tests + 1] = function(path, is_dir)
            if dirs_only and not is_dir then return false end
            return test(anchored and path or path:match "[^/]*$")
        end
    end
    return function(path, is_dir)
        for _, test in ipairs(tests) do
            if test(path, is_dir) then return true end
        end
        return false
    end
end

return M
