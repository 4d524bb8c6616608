-- Working copies of git, from a repository on the target itself: no network is needed.

local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local support = require "spec.support.play"
local sys = require "orrery.sys"

leak.guard { allow = { "thread %d+ 'orrery%-file'" } }

local IDENTITY = {
    GIT_AUTHOR_NAME = "a", GIT_AUTHOR_EMAIL = "a@x", GIT_COMMITTER_NAME = "a", GIT_COMMITTER_EMAIL = "a@x",
    GIT_CONFIG_GLOBAL = "/dev/null",
}

describe("a working copy", function()
    -- The foreign host has no git; what is said there is below.
    for _, name in ipairs { "local", "h1" } do
        describe("[" .. name .. "]", function()
            if name ~= "local" and not lab.need(2, { foreign = true, isolated = true }) then return end
            if name == "local" and lab.run { "git", "--version" } ~= 0 then
                pending "git is not here"
                return
            end
            local target, repo, dest, seen = { name = name }, nil, nil, nil

            local function git(...)
                local argv = { "git", "-C", repo }
                for _, word in ipairs { ... } do argv[#argv + 1] = word end
                return target.ctx:run(argv, { env = IDENTITY }).stdout:match "[^\n]*"
            end
            local function commit(content)
                target.ctx:shell('echo "$1" >"$2/file"', content, repo)
                git("add", "file")
                git("commit", "-q", "-m", content)
                return git("rev-parse", "HEAD")
            end

            setup(function()
                target.ctx = remote.open(name)
                target.h = support.host(target.ctx)
            end)
            teardown(function() target.ctx:close() end)
            before_each(function()
                target.dir = target.ctx:shell("mktemp -d /tmp/spec.XXXXXX").stdout:match "%S+"
                target.seen = remote.seen(name, target.dir)
                repo, dest, seen = target.dir .. "/repo", target.dir .. "/copy/app", target.seen .. "/copy/app"
                target.ctx:run { "git", "init", "-q", "-b", "main", repo }
                commit "one"
            end)
            after_each(function() target.ctx:run { "rm", "-rf", target.dir } end)

            local function copy(more)
                return function(h)
                    local options = { repo = repo, dest = dest }
                    for key, value in pairs(more or {}) do options[key] = value end
                    return h:git(options)
                end
            end
            local function file() return (remote.slurp(seen .. "/file") or ""):match "[^\n]*" end

            it("is made, and follows its branch", function()
                local r = support.converges(target, copy())
                assert.are.equal("one", file())
                assert.is_nil(r.before)
                local second = commit "two"
                local _, foreseen = support.converges(target, copy())
                assert.are.same({ { what = "commit", before = r.after, after = second } }, foreseen.diff)
                assert.are.equal("two", file())
                local status = target.ctx:run { "git", "-C", dest, "status", "-sb" }.stdout
                assert.are.equal("## main...origin/main\n", status)
                commit "three"
                support.stays(target, copy { update = false })
                target.ctx:run { "rm", "-rf", repo }
                assert.matches("cannot look at", support.fails(target, copy()).message)
            end)

            it("is at a tag, a branch, a commit, a ref", function()
                git("tag", "-a", "v1", "-m", "first")
                local first = git("rev-parse", "HEAD")
                commit "two"
                git("branch", "side")
                git("update-ref", "refs/pull/7/head", first)
                commit "three"
                assert.are.equal(first, support.converges(target, copy { version = "v1" }).after)
                assert.are.equal("one", file())
                support.converges(target, copy { version = "side" })
                assert.are.equal("two", file())
                support.converges(target, copy { version = first })
                assert.are.equal("one", file())
                support.converges(target, copy())
                assert.are.equal("three", file())
                support.converges(target, copy { version = "refs/pull/7/head" })
                assert.are.equal("one", file())
                local err = support.fails(target, copy { version = "v9" })
                assert.matches("has no branch, tag or commit 'v9'", err.message)
                err = remote.failure(copy { version = ("0"):rep(39) .. "1" }, target.h)
                assert.matches("has no commit 0+1", err.message)
                assert.are.equal("one", file())
            end)

            it("may have a short history", function()
                commit "two"
                local url = "file://" .. repo
                support.converges(target, copy { repo = url, depth = 1 })
                assert.are.equal("1\n", target.ctx:run({ "git", "-C", dest, "rev-list", "--count", "HEAD" }).stdout)
                commit "three"
                support.converges(target, copy { repo = url, depth = 1 })
                assert.are.equal("three", file())
            end)

            it("is not robbed of what somebody did there", function()
                copy()(target.h)
                commit "two"
                target.ctx:shell("echo mine >$1/file; echo more >$1/unknown", dest)
                local err = support.fails(target, copy())
                assert.matches("has changes of its own: file; force = true throws them away", err.message)
                support.converges(target, copy { force = true })
                assert.are.equal("two", file())
                assert.are.equal("more\n", remote.slurp(seen .. "/unknown"))
                target.ctx:run({ "git", "-C", dest, "commit", "-q", "--allow-empty", "-m", "own" }, { env = IDENTITY })
                commit "three"
                assert.matches("has commits of its own", support.fails(target, copy()).message)
                support.converges(target, copy { force = true })
                assert.are.equal("three", file())
                target.ctx:shell("echo mine >$1/file", dest)
                support.stays(target, copy())
                support.converges(target, copy { force = true })
            end)

            it("follows its repository to where that is now", function()
                copy()(target.h)
                target.ctx:run { "mv", repo, repo .. "2" }
                repo = repo .. "2"
                local _, foreseen = support.converges(target, copy())
                assert.are.equal("url of origin", foreseen.diff[1].what)
            end)

            it("leaves nothing where it cannot be made", function()
                local err = support.fails(target, copy { repo = target.dir .. "/none" })
                assert.matches("cannot look at .*/none: .*not.*repository", err.message)
                -- Found by ls-remote, and lost before it can be fetched.
                target.ctx:shell("rm -rf $1/objects/*", repo .. "/.git")
                err = remote.failure(copy(), target.h)
                assert.truthy(err.message)
                assert.is_nil(sys.lstat(target.seen .. "/copy"))
                target.ctx:shell("mkdir -p $1; echo x >$1/y", dest)
                err = support.fails(target, copy())
                assert.matches("no working copy of git", err.message)
            end)

            it("needs options that make sense", function()
                assert.matches("begin with a %-", support.fails(target, copy { repo = "--upload-pack=x" }).message)
                assert.matches("at least 1", support.fails(target, copy { depth = 0 }).message)
            end)
        end)
    end

    describe("[foreign]", function()
        if remote.sanitized or not lab.need(2, { foreign = true, isolated = true }) then return end
        it("needs git there", function()
            local ctx = remote.open "foreign"
            local options = { repo = "/x", dest = "/tmp/copy" }
            local err = remote.failure(function() support.host(ctx):git(options) end)
            assert.matches("there is no git on this machine", err.message)
            assert.is_true(support.host(ctx, { check = true }):git(options).unknown)
            ctx:close()
        end)
    end)
end)
