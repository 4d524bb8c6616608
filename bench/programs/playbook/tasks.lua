--- Forty tasks, of the kinds that playbooks are made of and about as often; site.yml has the same.

local ROOT = "/srv/bench"

local function packages(h)
    h:package { names = { "ca-certificates", "openssh-server", "sudo" } }
    h:package { names = { "curl", "wget" } }
    for _, name in ipairs { "gzip", "tar", "xz-utils" } do h:package { names = { name } } end
    if h.facts.os.family == "debian" then h:package { names = { "python3" } } end
    h:package { names = { "openssl" } }
    h:package { names = { "inetutils-telnetd", "nis" }, state = "absent" }
end

local function accounts(h)
    h:group { name = "benchapp", system = true }
    h:user {
        name = "benchapp", group = "benchapp", system = true, home = ROOT, create_home = false,
        shell = "/usr/sbin/nologin",
    }
end

local function files(h)
    for _, path in ipairs { ROOT, ROOT .. "/releases", ROOT .. "/shared", ROOT .. "/shared/log", "/etc/bench" } do
        h:file { path = path, state = "directory", owner = "benchapp", group = "benchapp", mode = "755" }
    end
    h:file { path = ROOT .. "/releases/1.0", state = "directory", mode = "755" }
    h:link { path = ROOT .. "/current", target = "releases/1.0" }
    h:file { path = "/etc/bench/old.conf", state = "absent" }
    local legacy = h:stat { path = ROOT .. "/legacy" }
    h:file { path = ROOT .. "/legacy", state = "absent", when = legacy.exists }
    return legacy, h:find { paths = { ROOT .. "/releases" }, type = "directory" }
end

local function content(h)
    h:copy { content = h.name .. " is a bench\n", dest = "/etc/motd", mode = "644" }
    h:copy { src = "files/bench-app", dest = "/usr/local/bin/bench-app", mode = "755" }
    for _, kind in ipairs { "web", "worker" } do
        h:template {
            src = "templates/init.tmpl", dest = "/etc/init.d/bench-" .. kind, mode = "755", vars = { kind = kind },
            notify = { "restart web", "restart worker" },
        }
    end
    h:template {
        src = "templates/bench.conf.tmpl", dest = "/etc/bench/bench.conf", owner = "benchapp", mode = "640",
        vars = { host = h.name, family = h.facts.os.family }, notify = "restart web",
    }
    h:template { src = "templates/logrotate.tmpl", dest = "/etc/logrotate.d/bench", mode = "644" }
    for _, source in ipairs { "files/a.txt", "files/b.txt", "files/c.txt" } do
        h:copy { src = source, dest = ROOT .. "/shared/" .. source:match "[^/]+$", mode = "644" }
    end
    h:copy { content = "TOKEN=bench-token\n", dest = "/etc/bench/token", mode = "600", no_log = true }
end

local function edits(h)
    h:line { path = "/etc/security/limits.conf", regexp = [[^benchapp\s]], line = "benchapp - nofile 65536" }
    h:block {
        path = "/etc/bench/hosts", create = true, mode = "644", marker = "# {mark} peers",
        block = "10.0.0.1 db1\n10.0.0.2 db2",
    }
    h:cron {
        name = "bench cleanup", file = "bench", user = "root", minute = 30, hour = 3,
        job = "/usr/local/bin/bench-app cleanup /tmp/bench",
    }
end

local function commands(h, legacy, releases)
    local db = ROOT .. "/shared/db"
    local version = h:command { "bench-app", "--version", changed_when = false }
    h:shell { "df -P / | tail -n 1", changed_when = false }
    h:command { "bench-app", "init", db, creates = db }
    for _, name in ipairs { "a", "b", "c" } do
        local path = ROOT .. "/shared/" .. name
        h:shell { 'gzip -nc <"$1.txt" >"$1.gz"', path, creates = path .. ".gz" }
    end
    h:command {
        "bench-app", "migrate", db, retries = 3, delay = 1,
        until_ = function(r) return r.code == 0 end,
        changed_when = function(r) return r.stdout == "migrated\n" end,
    }
    h:command {
        "bench-app", "check", env = { BENCH_MODE = "strict" }, changed_when = false,
        failed_when = function(r) return r.stdout ~= "mode strict\n" end,
    }
    h:command { "bench-app", "cleanup", ROOT .. "/legacy", when = legacy.exists }
    h:shell {
        ('echo "%d of 1.0" >note'):format(releases.matched), chdir = ROOT .. "/releases",
        creates = ROOT .. "/releases/note", when = version.stdout:find("1.0", 1, true) ~= nil,
    }
end

local function services(h)
    for _, name in ipairs { "bench-web", "bench-worker" } do h:service { name = name, enabled = true } end
    h:service { name = "bench-web", state = "started" }
    h:service { name = "bench-worker", state = "started" }
    h:service { name = "rsync", state = "stopped" }
    h:service { name = "rsync", enabled = false }
end

---@param h orrery.play.Host
return function(h)
    packages(h)
    accounts(h)
    local legacy, releases = files(h)
    content(h)
    edits(h)
    commands(h, legacy, releases)
    services(h)
    h:get_url {
        url = h.vars.server .. "/data", dest = ROOT .. "/shared/data", mode = "644",
        checksum = "sha256:" .. h.vars.checksum,
    }
    h:wait_for { path = "/run/bench-web.pid", timeout = 10 }
end
