--- What the resource repository does. All of it is files; they are as before when its lists cannot be fetched.

local dpkg = require "orrery.play.system.dpkg"
local format = require "orrery.play.system.repository_text"
local key = require "orrery.play.system.repository_key"
local resource = require "orrery.play.resource"
local text = require "orrery.play.system.text"
local tool = require "orrery.play.system.tool"

local M = {}

local function signed_by(o, keyring) return o.signed_by or keyring end

local function repo_file(directory)
    return function(o, keyring)
        local path = signed_by(o, keyring)
        return { [directory .. o.name .. ".repo"] = format.repo(o, path and "file://" .. path) }
    end
end

local function apt_files(o, keyring)
    local base = "/etc/apt/sources.list.d/" .. o.name
    local deb822 = o.format == "deb822"
    local content = (deb822 and format.deb822 or format.one_line)(o, signed_by(o, keyring))
    return { [base .. ".sources"] = deb822 and content or false, [base .. ".list"] = not deb822 and content or false }
end

-- For each manager: where keys are kept, and the files with what is to be in them; false: to be gone.
local PROVIDERS = {
    apt = { program = "apt-get", keys = "/etc/apt/keyrings", files = apt_files },
    dnf = { program = "dnf", keys = "/etc/pki/rpm-gpg", files = repo_file "/etc/yum.repos.d/" },
    yum = { program = "yum", keys = "/etc/pki/rpm-gpg", files = repo_file "/etc/yum.repos.d/" },
    zypper = { program = "zypper", keys = "/etc/pki/rpm-gpg", files = repo_file "/etc/zypp/repos.d/" },
    apk = {
        program = "apk", keys = "/etc/apk/keys",
        files = function(o, _, env)
            local path = "/etc/apk/repositories"
            local lines = text.lines(text.read(env, path))
            return { [path] = text.join(format.apk(lines, format.list(o.uris), o.state == "present" and o.enabled)) }
        end,
    },
}

local ORDER = { "apt", "dnf", "yum", "zypper", "apk" }

local function provider_of(o, env)
    for _, name in ipairs(ORDER) do
        local provider = PROVIDERS[name]
        local meant = o.provider == "auto" or o.provider == name
        if meant and tool.find(env, provider.program) then return provider, name end
    end
    resource.fail(o.provider == "auto" and "there is no package manager here that has repositories"
        or o.provider .. " is not there")
end

local function key_options(o, provider)
    return { name = o.name, state = o.state, directory = provider.keys, key = o.key, key_url = o.key_url }
end

local function plan_files(o, env, provider, keyring, plan)
    for path, content in pairs(provider.files(o, keyring, env)) do
        if o.state == "absent" and provider.program ~= "apk" then content = false end
        local before = text.read(env, path)
        if (before or false) ~= content then
            plan.files[#plan.files + 1] = { path = path, content = content or nil, before = before }
            plan.diff[#plan.diff + 1] = text.diff(path, before, content or "")
        end
    end
end

local function first_path(o, provider, keyring, env)
    for path, content in pairs(provider.files(o, keyring, env)) do
        if content then return path end
    end
end

---@param o table
---@param env orrery.play.Env
function M.check(o, env)
    local provider, name = provider_of(o, env)
    local plan = { diff = {}, files = {} }
    local keyring
    if o.key or o.key_url or o.state == "absent" then
        plan.key, keyring = key.plan(key_options(o, provider), env, plan.diff)
    end
    -- Of a key that has to be fetched nobody knows yet whether it is text.
    plan_files(o, env, provider, keyring, plan)
    local out = { path = first_path(o, provider, keyring, env), keyring = keyring, provider = name }
    if #plan.diff == 0 then return nil, out end
    return plan, out
end

-- Only this one's lists, and those of others stay.
local function fetch_lists(o, env, name, files)
    if not o.update_cache or o.state == "absent" or not o.enabled then return end
    local what = "fetch the lists of " .. o.name
    if name == "apt" then
        local file
        for _, each in ipairs(files) do file = each.content and each.path or file end
        dpkg.run(o, env, what, tool.words("apt-get", "-q", "-y", "-o", "APT::Update::Error-Mode=any",
            file and { "-o", "Dir::Etc::sourcelist=" .. file, "-o", "Dir::Etc::sourceparts=-",
                "-o", "APT::Get::List-Cleanup=0" }, "update"))
    elseif name == "zypper" then
        tool.must(env, what, { "zypper", "--non-interactive", "--quiet", "refresh", o.name })
    elseif name == "apk" then
        tool.must(env, what, { "apk", "update" })
    else
        tool.must(env, what, { name, "-y", "-q", "--disablerepo=*", "--enablerepo=" .. o.name, "makecache" })
    end
end

local function put(env, files, undo)
    for _, file in ipairs(files) do
        table.insert(undo, 1, function() text.restore(env, file.path, file.before) end)
        text.make_parent(env, file.path)
        if file.content then
            text.write(env, file.path, file.content)
        else
            resource.must("remove", env.sys.unlink(file.path))
        end
    end
end

---@param o table
---@param plan table
---@param env orrery.play.Env
function M.apply(o, plan, env)
    local provider, name = provider_of(o, env)
    local undo, keyring = {}, nil
    local ok, why = pcall(function()
        if plan.key then
            keyring, undo[1] = key.perform(key_options(o, provider), env, plan.key)
            -- The file names the key that there is now.
            local now = { diff = {}, files = {} }
            plan_files(o, env, provider, keyring, now)
            plan.files = now.files
        end
        put(env, plan.files, undo)
        fetch_lists(o, env, name, plan.files)
    end)
    if ok then return { keyring = keyring } end
    for _, fn in ipairs(undo) do pcall(fn) end
    error(why, 0)
end

return M
