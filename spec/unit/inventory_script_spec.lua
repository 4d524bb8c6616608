local leak = require "spec.support.leak"
local orrery = require "orrery"
local inventory = require "orrery.play.inventory"
local tree = require "spec.support.directories"

orrery.stats() -- the runtime is there before anything is counted
leak.guard()

local root

local function program(text)
    root = tree.make { prog = "#!/bin/sh\n" .. text }
    return root .. "/prog"
end

after_each(function()
    if root then tree.remove(root) end
    root = nil
end)

local function refusal(code, text)
    local path = program(text)
    local ok, err = pcall(inventory.load, path)
    assert.is_false(ok)
    assert.are.equal(code, err.code)
    return (err.message:gsub(root:gsub("%p", "%%%0"), ""))
end

describe("a program that prints an inventory", function()
    it("is run with --list", function()
        local inv = inventory.load(program [[
            echo "warning: hush" >&2
            [ "$1" = --list ] && echo '{ "web": ["w1"], "_meta": { "hostvars": { "w1": { "x": 1 } } } }']])
        assert.are.same({ "w1" }, inv:members "web")
        assert.are.same({ x = 1 }, inv:vars "w1")
    end)

    it("is asked for each host where it has no hostvars", function()
        local inv = inventory.load(program [[
            [ "$1" = --list ] && echo '{ "web": ["w1", "w2", "w3"] }'
            [ "$1" = --host ] && [ "$2" != w3 ] && echo "{ \"me\": \"$2\" }"
            exit 0]])
        assert.are.same({ me = "w2" }, inv:vars "w2")
        assert.are.same({}, inv:vars "w3")
        assert.matches("prog %-%-host w2$", inv:why("w2")[1].from)
    end)

    it("may print more than a pipe holds, on both of its outputs", function()
        local inv = inventory.load(program [[
            i=0; while [ $i -lt 5000 ]; do echo "warning $i: all is well with the cloud" >&2; i=$((i+1)); done
            echo '{ "web": ['; i=0
            while [ $i -lt 5000 ]; do echo "\"some-host-$i.example.com\","; i=$((i+1)); done
            echo '"last"], "_meta": { "hostvars": {} } }']])
        assert.are.equal(5001, #inv:hosts())
    end)

    it("says how it failed, with what it said last", function()
        assert.are.equal("/prog --list: it ended with status 3:\nno credentials\n", refusal("inventory",
            "echo 'no credentials' >&2; exit 3") .. "\n")
        assert.are.equal("/prog --list: it was killed by signal 9", refusal("inventory", "kill -9 $$"))
        assert.are.equal("/prog --list: it printed nothing:\nhm", refusal("inventory", "echo hm >&2"))
        assert.are.equal("/prog --list:1:3: a key in quotes was expected, not 'x'", refusal("decode", "echo '{ x'"))
        assert.are.equal("/prog --host h: it must print an object: variables by name", refusal("inventory",
            [=[[ "$1" = --list ] && echo '{ "g": ["h"] }' || echo '[]']=]))
    end)
end)
