--- One ssh_config, two programs: orrery.ssh ends up where ssh(1) does, as whom, by which key and which way.

local ffi = require "ffi"
local lab = require "spec.support.lab"
local leak = require "spec.support.leak"
local remote = require "spec.support.remote"
local orrery = require "orrery"

leak.guard()

pcall(ffi.cdef, "int setenv(const char *name, const char *value, int overwrite);")

-- From where, to which address and port, as whom, on which host, by which kind of key, with which variables.
local FACTS = [[set -- $SSH_CONNECTION; echo "$1 $3 $4 $(id -un) $(uname -n)" \
"$(head -n 1 "$SSH_USER_AUTH" 2>/dev/null | cut -d ' ' -f 1-3)" "$SPEC_A|$SPEC_B|$SPEC_C|$SSH_AUTH_SOCK" |
sed 's,/tmp/ssh-[^ ]*,agent,']]

-- %NAME% is replaced. The first value that is met counts.
local CONFIG = [[
Include %DIR%/inc.d/*.conf
Host user
    User deploy
    HostName %H1%
Host port
    HostName %H2%
    Port 2222
Host ecdsa
    HostName %H1%
    IdentityFile %KEYS%/id_ecdsa
Host two-keys
    HostName %H1%
    IdentityFile /nonexistent
    IdentityFile %KEYS%/id_ecdsa
    IdentityFile %KEYS%/id_ed25519
Host alias
    HostName %H3%
    HostKeyAlias somebody
    UserKnownHostsFile %DIR%/alias_known
Host setenv
    HostName %H1%
    SetEnv SPEC_A=1 "SPEC_B=two words"
    SetEnv SPEC_C=never
Host sendenv
    HostName %H1%
    SendEnv SPEC_?
    SetEnv SPEC_B=wins
Host jump
    HostName %H2%
    ProxyJump in-h1
Host jumps
    HostName %H1%
    User deploy
    ProxyJump deploy@%H2%:2222,in-h3
Host command
    HostName %H2%
    Port 2222
    ProxyCommand ssh -F %DIR%/config -W %%h:%%p in-%%r-h1
Host jump-command
    HostName %H1%
    ProxyJump command
Host straight
    HostName %H3%
    ProxyJump none
Host agent
    HostName %H1%
    IdentityAgent %SOCKET%
    IdentityFile %KEYS%/id_ecdsa.pub
Host new
    HostName %H3%
    UserKnownHostsFile %DIR%/new_known
    StrictHostKeyChecking accept-new
Host algorithms
    HostName %H1%
    Ciphers aes256-ctr
    MACs hmac-sha2-512
    KexAlgorithms ecdh-sha2-nistp256
    HostKeyAlgorithms ecdsa-sha2-nistp256
    Compression yes
Host rsa
    HostName %H1%
    IdentityFile %KEYS%/id_rsa
Host forward
    HostName %H2%
    ForwardAgent %SOCKET%
Host in-root-h1
    ProxyJump in-h3
Match originalhost matched,in-h1 exec "test %%n != in-h1"
    User deploy
    HostName %H2%
Match host "in-*h?"
    IdentityFile %KEYS%/id_ecdsa
Match originalhost in-h1,in-root-h1
    HostName %H1%
Host in-h3
    HostName %H3%
    User deploy
Match final user deploy
    SetEnv SPEC_A=deployed
Match originalhost "*,!rsa"
    IdentityFile %KEYS%/id_ed25519
Host *
    User root
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile %KNOWN%
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
]]

local INCLUDED = [[
Host included inner*
    HostName %H3%
    Include %DIR%/inner
]]
local INNER = [[
    User deploy
Match originalhost inner-more
    IdentityFile %KEYS%/id_ecdsa
]]

local HOSTS = { "included", "inner-more", "user", "port", "ecdsa", "two-keys", "alias", "setenv", "sendenv", "jump",
    "jumps", "command", "jump-command", "straight", "agent", "new", "algorithms", "rsa", "forward", "matched" }

describe("an ssh_config", function()
    if not lab.need(3, { refuse = 1, isolated = true }) then return end

    local here, agent
    local names = {}

    local function fill(text)
        return (text:gsub("%%(%u[%u%d]*)%%", names):gsub("%%%%", "%%"))
    end

    setup(function()
        here = remote.directory()
        local _, text = lab.run { "ssh-agent", "-a", here .. "/agent" }
        agent = text:match("SSH_AGENT_PID=(%d+)")
        local keys = lab.file "client"
        names = { DIR = here, KEYS = keys, KNOWN = lab.file "known_hosts", SOCKET = here .. "/agent" }
        for i = 1, 3 do
            names["H" .. i] = lab.host("h" .. i).address
            lab.sshd("h" .. i, "Port 22", "Port 2222", "AcceptEnv SPEC_*", "ExposeAuthInfo yes")
        end
        lab.run { "env", "SSH_AUTH_SOCK=" .. here .. "/agent", "ssh-add", "-q", keys .. "/id_ecdsa" }
        lab.run { "cp", keys .. "/id_ecdsa.pub", here }
        local _, key = lab.exec("h3", "cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub")
        remote.write(here .. "/alias_known", "somebody " .. key)
        lab.run { "mkdir", here .. "/inc.d" }
        remote.write(here .. "/config", fill(CONFIG))
        remote.write(here .. "/inc.d/a.conf", fill(INCLUDED))
        remote.write(here .. "/inner", fill(INNER))
        ffi.C.setenv("SPEC_A", "from here", 1)
        ffi.C.setenv("SPEC_B", "from here", 1)
    end)

    teardown(function()
        lab.run { "kill", agent }
        for i = 1, 3 do lab.sshd("h" .. i) end
        remote.remove(here)
    end)

    local function by_ssh(host)
        local code, text, said = lab.run { "ssh", "-T", "-F", here .. "/config", "-o", "BatchMode=yes", host, FACTS }
        assert.are.equal(0, code, said)
        return text
    end

    local function by_orrery(host)
        local ctx = orrery.ssh(host, { config = here .. "/config" })
        local text, inside = ctx:shell(FACTS).stdout, ctx:info().ssh ~= nil
        ctx:close()
        return text, inside
    end

    for _, host in ipairs(HOSTS) do
        it("leads to the same end: " .. host, function()
            local expected = by_ssh(host)
            assert.matches("%S+ %S+ %d+ %S+ h%d publickey", expected)
            remote.write(here .. "/new_known", "")
            local got, inside = by_orrery(host)
            assert.are.equal(expected, got)
            assert.are.equal(host ~= "rsa" and host ~= "forward", inside)
        end)
    end

    it("is not a matter of chance: these differ", function()
        local seen = {}
        for _, host in ipairs { "user", "port", "ecdsa", "jump", "jumps", "command", "setenv", "sendenv" } do
            local facts = by_ssh(host)
            assert.is_nil(seen[facts], host)
            seen[facts] = true
        end
        assert.matches("^" .. names.H3 .. " " .. names.H1 .. " 22 deploy h1 .*deployed", by_ssh "jumps")
    end)

    it("adds the key of a new host where it says so", function()
        remote.write(here .. "/new_known", "")
        by_orrery "new"
        assert.matches("ssh%-ed25519 ", remote.slurp(here .. "/new_known"))
    end)
end)
