-- How fast files move, there and back.

local report = require "lib.report"
local run = require "lib.run"

local MIB = 256
local MEGABYTES = MIB * 1024 * 1024 / 1e6
local THERE = "/var/tmp/bench-file" -- a host keeps what it writes on a tmpfs

local source = run.memory .. "/source"
assert(os.execute(("head -c %dM /dev/urandom >%s"):format(MIB, source)))

local function same(path)
    local status = os.execute(("cmp -s %s %s"):format(run.quote(source), run.quote(path)))
    return status == 0 or status == true
end

-- Runs the commands, which have to leave the same file at `put.path` and `get.path`.
local function copies(put, get)
    local figures = {}
    os.remove(put.path)
    os.remove(get.path)
    for _, step in ipairs { { "put", put }, { "get", get } } do
        local name, copy = step[1], step[2]
        local took, why = run.seconds(copy.command)
        if not took then return nil, { why } end
        if not same(copy.path) then return nil, { name .. " left another file" } end
        figures[name .. ".rate"] = MEGABYTES / took
    end
    os.remove(put.path)
    os.remove(get.path)
    return figures
end

-- A peer that copies over SSH: templates with $ssh (options), $host, $from, $to.
local function over_ssh(name, put, get)
    local function fill(template, place, from, to)
        local values = {
            ssh = "-F " .. run.quote(run.config), host = place.host, from = run.quote(from), to = run.quote(to),
        }
        return place.prefix .. "sh -c " .. run.quote((template:gsub("%$(%a+)", values)))
    end
    return {
        name = name, peer = true,
        figures = function(place)
            local back = run.memory .. "/back"
            return copies(
                { command = fill(put, place, source, THERE), path = place.root .. THERE },
                { command = fill(get, place, THERE, back), path = back })
        end,
    }
end

-- From and to files of this machine, on a tmpfs or on a disk.
local function on_this_machine(name, folder)
    local there, back = folder .. "/there", folder .. "/back"
    return {
        name = name,
        figures = function(place)
            return run.figures(run.orrery(place, "bulk", "local", MIB, source, there, back))
        end,
    }, {
        name = name .. " cp", peer = true,
        figures = function(place)
            return copies(
                { command = place.prefix .. ("cp %s %s"):format(source, there), path = there },
                { command = place.prefix .. ("cp %s %s"):format(there, back), path = back })
        end,
    }
end

local tmpfs, tmpfs_cp = on_this_machine("tmpfs", run.memory)
local disk, disk_cp = on_this_machine("disk", run.scratch)

local function ssh_rows(way)
    return {
        { "libssh2 in C, no file at either end", "libssh2", way .. "." },
        { "scp", "scp", way .. "." },
        { "sftp", "sftp", way .. "." },
        { "rsync --whole-file", "rsync", way .. "." },
        { "ssh cat", "ssh cat", way .. "." },
        { "ctx:" .. way .. ", connecting included", "ssh", way .. "_open." },
        { "ctx:" .. way, "ssh", way .. "." },
    }
end

local function ssh_ratios(way)
    local ratios = {}
    for _, peer in ipairs { "libssh2", "scp", "sftp", "rsync", "ssh cat" } do
        ratios[#ratios + 1] = { "x " .. peer, peer, way .. "." }
    end
    return ratios
end

local function local_table(way)
    return {
        title = ("%s %d MiB on this machine, MB/s"):format(way, MIB),
        columns = { { "MB/s", "rate" } },
        rows = {
            { "socketpair in C, to a tmpfs", "pair", "file1." },
            { "socketpair in C, to a disk", "pair", "file2." },
            { "cp, to a tmpfs", "tmpfs cp", way .. "." },
            { "cp, to a disk", "disk cp", way .. "." },
            { "ctx:" .. way .. ", to a tmpfs", "tmpfs", way .. "." },
            { "ctx:" .. way .. ", to a disk", "disk", way .. "." },
        },
        ratios = { { "x pair to tmpfs", "pair", "file1." }, { "x cp to tmpfs", "tmpfs cp", way .. "." } },
    }
end

local function ssh_table(way)
    return {
        title = ("%s %d MiB over SSH, MB/s"):format(way, MIB),
        columns = { { "MB/s", "rate" } },
        rows = ssh_rows(way),
        ratios = ssh_ratios(way),
    }
end

report.run {
    name = "bulk",
    rounds = 2,
    subjects = {
        {
            name = "libssh2",
            figures = function(place)
                return run.figures(run.limit(place, "bulk", "ssh", MIB, run.ssh_where(place)))
            end,
        },
        over_ssh("scp", "scp -q $ssh $from $host:$to", "scp -q $ssh $host:$from $to"),
        over_ssh("sftp", "echo put $from $to | sftp -q $ssh -b - $host",
            "echo get $from $to | sftp -q $ssh -b - $host"),
        over_ssh("rsync", [[rsync -W -e "ssh $ssh" $from $host:$to]], [[rsync -W -e "ssh $ssh" $host:$from $to]]),
        over_ssh("ssh cat", [[ssh $ssh $host "cat >$to" <$from]], [[ssh $ssh $host "cat $from" >$to]]),
        {
            name = "ssh",
            figures = function(place)
                local back = run.memory .. "/back"
                return run.figures(run.orrery(place, "bulk", place.host, MIB, source, THERE, back))
            end,
        },
        {
            name = "pair",
            figures = function(place)
                return run.figures(
                    run.limit(place, "bulk", "pair", MIB, run.memory .. "/pair", run.scratch .. "/pair"))
            end,
        },
        tmpfs, tmpfs_cp, disk, disk_cp,
    },
    tables = { ssh_table("put"), ssh_table("get"), local_table("put"), local_table("get") },
}
