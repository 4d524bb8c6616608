--- What is in the files of repositories.

local text = require "orrery.play.system.text"

local M = {}

--- A list, of what may be a single word.
---@param value? string|string[]
---@return string[]
function M.list(value)
    if value == nil then return {} end
    return type(value) == "table" and value or { value }
end

local function wrong_name(o)
    -- apt passes over files with other characters in their names.
    if not o.name:match "^[%w_.-]+$" or o.name:sub(1, 1) == "." then
        return ("option 'name' must be letters, digits, _ . and -, not '%s'"):format(o.name)
    end
end

--- What is wrong with the options of repository_key; nil: nothing.
---@param o table
---@return string?
function M.wrong_key(o)
    if o.state == "present" and not o.key and not o.key_url then return "give a key, or key_url" end
    if o.key and o.key_url then return "key and key_url are two ways to say the same; give one" end
    if o.key_url and not o.key_url:match "^%a+://%g+$" then return "option 'key_url' is no URL" end
    return wrong_name(o)
end

local LINES = { "uris", "suites", "components", "types", "architectures" }

--- What is wrong with the options of repository; nil: nothing.
---@param o table
---@return string?
function M.wrong(o)
    if o.state == "present" and #M.list(o.uris) == 0 then return "option 'uris' is missing" end
    for _, field in ipairs(LINES) do
        for _, word in ipairs(M.list(o[field])) do
            if not word:match "^[%g]+$" then return ("option '%s' has '%s', which is no word"):format(field, word) end
        end
    end
    for key, value in pairs(o.options or {}) do
        if not key:match "^[%w_-]+$" or value:find "\n" then
            return ("option 'options' has a wrong '%s'"):format(key)
        end
    end
    if o.signed_by and (o.key or o.key_url) then return "signed_by names a key that is there; key would bring one" end
    local key = { name = o.name, state = "absent", key = o.key, key_url = o.key_url }
    return M.wrong_key(key)
end

local function sorted_keys(map)
    local keys = {}
    for key in pairs(map or {}) do keys[#keys + 1] = key end
    table.sort(keys)
    return keys
end

--- A file in the format of deb822.
---@param o table
---@param keyring? string
---@return string
function M.deb822(o, keyring)
    local lines = {}
    local function add(key, values)
        local value = table.concat(M.list(values), " ")
        if value ~= "" then lines[#lines + 1] = key .. ": " .. value end
    end
    if not o.enabled then add("Enabled", "no") end
    add("Types", o.types)
    add("URIs", o.uris)
    add("Suites", #M.list(o.suites) > 0 and o.suites or "./")
    add("Components", o.components)
    add("Architectures", o.architectures)
    add("Signed-By", keyring)
    if o.trusted ~= nil then add("Trusted", o.trusted and "yes" or "no") end
    for _, key in ipairs(sorted_keys(o.options)) do add(key, o.options[key]) end
    return text.join(lines)
end

local function one_line_options(o, keyring)
    local parts = {}
    local architectures = M.list(o.architectures)
    if #architectures > 0 then parts[#parts + 1] = "arch=" .. table.concat(architectures, ",") end
    if keyring then parts[#parts + 1] = "signed-by=" .. keyring end
    if o.trusted ~= nil then parts[#parts + 1] = "trusted=" .. (o.trusted and "yes" or "no") end
    for _, key in ipairs(sorted_keys(o.options)) do parts[#parts + 1] = key .. "=" .. o.options[key] end
    return #parts > 0 and "[" .. table.concat(parts, " ") .. "] " or ""
end

--- A file of lines, as apt had them at first.
---@param o table
---@param keyring? string
---@return string
function M.one_line(o, keyring)
    local lines, options = {}, one_line_options(o, keyring)
    local suites = M.list(o.suites)
    for _, kind in ipairs(M.list(o.types)) do
        for _, uri in ipairs(M.list(o.uris)) do
            for _, suite in ipairs(#suites > 0 and suites or { "./" }) do
                local words = { uri, suite, unpack(M.list(o.components)) }
                lines[#lines + 1] = ("%s%s %s%s"):format(o.enabled and "" or "# ", kind, options,
                    table.concat(words, " "))
            end
        end
    end
    return text.join(lines)
end

--- A .repo file.
---@param o table
---@param key? string where its key is: a URL
---@return string
function M.repo(o, key)
    local lines = {
        ("[%s]"):format(o.name), "name=" .. (o.description or o.name),
        "baseurl=" .. table.concat(M.list(o.uris), "\n        "),
        "enabled=" .. (o.enabled and 1 or 0), "gpgcheck=" .. (o.trusted and 0 or 1),
    }
    if key then lines[#lines + 1] = "gpgkey=" .. key end
    for _, name in ipairs(sorted_keys(o.options)) do lines[#lines + 1] = name .. "=" .. o.options[name] end
    return text.join(lines)
end

--- The lines of /etc/apk/repositories, with those that are wanted or without.
---@param lines string[]
---@param uris string[]
---@param present boolean
---@return string[]
function M.apk(lines, uris, present)
    local result, there = {}, {}
    for _, line in ipairs(lines) do
        local wanted = text.has(uris, text.trim(line))
        if not wanted or present then result[#result + 1] = line end
        there[text.trim(line)] = true
    end
    for _, uri in ipairs(present and uris or {}) do
        if not there[uri] then result[#result + 1] = uri end
    end
    return result
end

--- The name that apt wants for a key's file: its first bytes say whether it is text.
---@param content string
---@return "asc"|"gpg"
function M.key_suffix(content)
    return content:find "^%s*%-%-%-%-%-BEGIN PGP PUBLIC KEY BLOCK" and "asc" or "gpg"
end

--- What is wrong with a key; nil: nothing that can be seen.
---@param content string
---@return string?
function M.wrong_content(content)
    if content:find("PRIVATE KEY", 1, true) then return "it is a private key" end
    if M.key_suffix(content) == "asc" then return nil end
    -- A packet that is a public key: tag 6, in the old format or the new.
    local first = content:byte(1) or 0
    local tag = bit.band(first, 0x40) ~= 0 and bit.band(first, 0x3f) or bit.rshift(bit.band(first, 0x3c), 2)
    if first < 0x80 or tag ~= 6 then return "it is no public key of OpenPGP" end
end

return M
