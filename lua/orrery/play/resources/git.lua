--- A working copy of a git repository.

local paths = require "orrery.play.paths"
local resource = require "orrery.play.resource"

local function environment(o, check_mode)
    local ssh = { "ssh", "-o", "BatchMode=yes" }
    if o.key then ssh = { "ssh", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i", "'" .. o.key .. "'" } end
    if o.accept_hostkey then
        ssh[#ssh + 1] = "-o"
        ssh[#ssh + 1] = "StrictHostKeyChecking=accept-new"
        if check_mode then -- the key is not written down
            ssh[#ssh + 1] = "-o"
            ssh[#ssh + 1] = "UserKnownHostsFile=/dev/null"
        end
    end
    return { GIT_TERMINAL_PROMPT = "0", GIT_SSH_COMMAND = table.concat(ssh, " "), GIT_ASKPASS = "true" }
end

local function run_git(o, env, words, opts)
    local argv = { "git", "-c", "advice.detachedHead=false", "-c", "core.pager=cat" }
    for _, word in ipairs(words) do argv[#argv + 1] = word end
    opts = opts or {}
    opts.env, opts.check = environment(o, env.check_mode), false
    return env.run(argv, opts)
end

local function fail(what, r)
    local said = (r.stderr ~= "" and r.stderr or r.stdout):gsub("%s+$", "")
    resource.fail(("%s: %s"):format(what, said))
end

local function git(o, env, what, words, opts)
    local r = run_git(o, env, words, opts)
    if r.code ~= 0 then fail(what, r) end
    return r.stdout
end

-- In the working copy; `status` must not write the index anew, which would be a change.
local function here(o, words)
    local all = { "--no-optional-locks", "-C", o.dest }
    for _, word in ipairs(words) do all[#all + 1] = word end
    return all
end

local function is_commit(text) return (#text == 40 or #text == 64) and not text:find "%X" end

-- What there is at the repository, by name; "HEAD" may be a name of a branch, too.
local function remote_refs(o, env)
    local text = git(o, env, "cannot look at " .. o.repo, { "ls-remote", "--symref", o.repo })
    local refs = {}
    for commit, ref in text:gmatch "(%x+)\t([^\n]+)" do refs[ref] = commit end
    return refs, text:match "ref: refs/heads/([^\n]-)\tHEAD"
end

---@class orrery.play.GitVersion
---@field kind "commit"|"branch"|"tag"|"ref"
---@field name string
---@field commit string

-- What the version means at the repository. A tag's own object is not meant, but what it is about.
local function resolve(o, env)
    if is_commit(o.version) then return { kind = "commit", name = o.version, commit = o.version } end
    local refs, default = remote_refs(o, env)
    local name = o.version == "HEAD" and default or o.version
    local tag = refs["refs/tags/" .. name .. "^{}"] or refs["refs/tags/" .. name]
    local branch = refs["refs/heads/" .. name]
    if branch then return { kind = "branch", name = name, commit = branch } end
    if tag then return { kind = "tag", name = name, commit = tag } end
    if refs[name] then return { kind = "ref", name = name, commit = refs[name] } end
    if name == "HEAD" then resource.fail(("%s has no commits"):format(o.repo)) end
    resource.fail(("%s has no branch, tag or commit '%s'"):format(o.repo, name))
end

local function ask(o, env, words) return run_git(o, env, here(o, words), { live = false }) end

local function look(o, env)
    local st = paths.look(o.dest, true)
    if not st then return nil end
    if st.type ~= "directory" then resource.fail(("%s is a %s"):format(o.dest, st.type)) end
    if #resource.must("list", env.sys.list(o.dest)) == 0 then return nil end
    if not env.sys.lstat(o.dest .. "/.git") then
        resource.fail(("%s is there, and no working copy of git"):format(o.dest))
    end
    local head = ask(o, env, { "rev-parse", "--verify", "-q", "HEAD" })
    if head.code > 1 then fail("cannot look at " .. o.dest, head) end
    return {
        head = head.stdout:match "%x+" or "none",
        url = ask(o, env, { "config", "--get", ("remote.%s.url"):format(o.remote) }).stdout:match "[^\n]*",
        branch = ask(o, env, { "symbolic-ref", "-q", "--short", "HEAD" }).stdout:match "[^\n]+",
    }
end

-- What somebody has changed there; files that git does not know are no obstacle.
local function changed_files(o, env)
    local words = { "status", "--porcelain", "--untracked-files=no" }
    local text = git(o, env, "cannot look at " .. o.dest, here(o, words), { live = false })
    local files = {}
    for file in text:gmatch "...([^\n]+)" do files[#files + 1] = file end
    return files
end

-- Commits on the branch that the repository never had, as far as is known here.
local function has_own_commits(o, env, there, version)
    if version.kind ~= "branch" or there.branch ~= version.name or there.head == version.commit then return false end
    local known = ("refs/remotes/%s/%s"):format(o.remote, version.name)
    return ask(o, env, { "merge-base", "--is-ancestor", "HEAD", known }).code == 1
end

local function refuse(o, files, own)
    if o.force then return end
    if #files > 0 then
        local more = #files > 1 and (" and %d more"):format(#files - 1) or ""
        resource.fail(("%s has changes of its own: %s%s; force = true throws them away"):format(o.dest, files[1], more))
    end
    if own then resource.fail(("%s has commits of its own; force = true throws them away"):format(o.dest)) end
end

local function differences(o, there, version, files)
    local diff = {}
    local function note(what, before, after)
        if before ~= after then diff[#diff + 1] = { what = what, before = before, after = after } end
    end
    note("commit", there and there.head or "absent", version.commit)
    if there then note("url of " .. o.remote, there.url, o.repo) end
    if o.force and #files > 0 then note("files that were changed", #files, 0) end
    return diff
end

local function has_git(env)
    local ok = pcall(env.run, { "git", "--version" }, { live = false })
    if not ok and not env.check_mode then resource.fail "there is no git on this machine" end
    return ok
end

local function check(o, env)
    if not has_git(env) then return { unknown = true, message = "there is no git on this machine yet" } end
    local there = look(o, env)
    local out = { dest = o.dest, before = there and there.head }
    if there and not o.update then
        out.after = there.head
        return nil, out
    end
    local version = resolve(o, env)
    out.after = version.commit
    local files = there and changed_files(o, env) or {}
    local diff = differences(o, there, version, files)
    if #diff == 0 then return nil, out end
    refuse(o, files, there and has_own_commits(o, env, there, version))
    return { version = version, there = there, diff = diff }, out
end

-- As a clone has them; with a depth, only what is needed.
local function refspecs(o, version)
    local all = { ("+refs/heads/*:refs/remotes/%s/*"):format(o.remote), "+refs/tags/*:refs/tags/*" }
    local one = {
        branch = ("+refs/heads/%s:refs/remotes/%s/%s"):format(version.name, o.remote, version.name),
        tag = ("+refs/tags/%s:refs/tags/%s"):format(version.name, version.name), ref = version.name,
        commit = version.commit,
    }
    if o.depth then return { one[version.kind] } end
    if version.kind == "ref" then all[3] = version.name end
    return all
end

local function append(list, more)
    for _, word in ipairs(more) do list[#list + 1] = word end
    return list
end

-- The address and not the name of the remote: that is set when all is well.
local function fetch(o, env, directory, version)
    local words = { "-C", directory, "fetch", "-q", "--force" }
    if o.depth then append(words, { "--depth", tostring(o.depth) }) end
    append(append(words, { "--", o.repo }), refspecs(o, version))
    git(o, env, "cannot fetch from " .. o.repo, words)
    local name = version.commit
    if version.kind == "branch" then name = ("refs/remotes/%s/%s"):format(o.remote, version.name) end
    if version.kind == "tag" then name = "refs/tags/" .. version.name end
    local commit = git(o, env, ("%s has no commit %s"):format(o.repo, name),
        { "-C", directory, "rev-parse", "--verify", name .. "^{commit}" }, { live = false })
    return commit:match "%x+"
end

local function check_out(o, env, directory, version, commit)
    local words = { "-C", directory, "checkout", "-q" }
    if o.force then words[#words + 1] = "--force" end
    append(words, version.kind == "branch" and { "-B", version.name, commit } or { "--detach", commit })
    git(o, env, "cannot check out " .. version.name, append(words, { "--" }))
    if version.kind == "branch" then
        local upstream = o.remote .. "/" .. version.name
        run_git(o, env, { "-C", directory, "branch", "-q", "--set-upstream-to", upstream, version.name })
    end
    if o.recursive then
        words = { "-C", directory, "submodule", "-q", "update", "--init", "--recursive" }
        if o.force then words[#words + 1] = "--force" end
        git(o, env, "cannot get the submodules", words)
    end
end

-- Made beside, so that what fails leaves nothing.
local function clone(o, plan, env)
    local made, done = paths.make_directories(o.dest:match "^(.*)/[^/]+$"), false
    env.cleanup(function()
        for i = done and 0 or #made, 1, -1 do env.sys.rmdir(made[i]) end
    end)
    local stage = resource.must("create", env.sys.mkdtemp((o.dest:gsub("[^/]*$", ".orrery-"))))
    env.cleanup(function() paths.remove(stage) end)
    local copy = stage .. "/copy"
    git(o, env, "cannot create it", { "init", "-q", copy })
    git(o, env, "cannot create it", { "-C", copy, "remote", "add", o.remote, o.repo })
    local commit = fetch(o, env, copy, plan.version)
    check_out(o, env, copy, plan.version, commit)
    resource.must("create", env.sys.rename(copy, o.dest))
    done = true
    return commit
end

local function apply(o, plan, env)
    if not plan.there then return { after = clone(o, plan, env) } end
    local commit = fetch(o, env, o.dest, plan.version)
    check_out(o, env, o.dest, plan.version, commit)
    if plan.there.url ~= o.repo then
        local verb = plan.there.url and "set-url" or "add"
        git(o, env, "cannot set the remote", { "-C", o.dest, "remote", verb, o.remote, o.repo })
    end
    return { after = commit }
end

local function no_option(text) return text:sub(1, 1) ~= "-" and not text:find "[%c]", "must not begin with a -" end

return resource.define {
    name = "git",
    doc = "A directory is a working copy of a git repository, at a version: fetched by git on the target.",
    options = {
        repo = { type = "string", required = true, check = no_option, doc = "where it is: an address or a path, as for "
            .. "git clone", public = "a key, or a credential helper of git's, lets it in" },
        dest = { type = "path", required = true, doc = "the directory" },
        version = { type = "string", default = "HEAD", check = no_option, doc = "a branch, a tag, a commit (all of its "
            .. "digits) or a ref; the branch that the repository has checked out, if not given" },
        update = { type = "boolean", default = true, doc = "false: a working copy that is there stays as it is" },
        force = { type = "boolean", default = false, doc = "throw away what was changed there, files or commits; "
            .. "without it that is an error" },
        depth = { type = "integer", doc = "so many commits of the history only, and no other branches" },
        recursive = { type = "boolean", default = false, doc = "submodules, too" },
        remote = { type = "string", default = "origin", check = no_option, doc = "the name of the remote" },
        key = { type = "path", check = function(path) return not path:find "'", "must hold no '" end,
            doc = "the file of an SSH key, on the target" },
        accept_hostkey = { type = "boolean", default = false, doc = "take the SSH host key of a server that is not "
            .. "known yet" },
    },
    subject = "dest",
    returns = { dest = "the directory", before = "commit that was there", after = "commit that is there now" },
    example = [[h:git { repo = "https://example.org/app.git", dest = "/srv/app/src", version = "v1.2", depth = 1 }]],
    validate = function(o)
        if o.depth and o.depth < 1 then return "depth must be at least 1" end
        if o.dest == "/" then return "dest cannot be /" end
    end,
    check = check,
    apply = apply,
}
