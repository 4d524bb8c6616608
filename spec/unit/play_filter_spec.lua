local filter = require "orrery.play.filter"
local leak = require "spec.support.leak"

leak.guard()

local function step(id, name, tags) return { id = id, name = name, tags = filter.set(tags) } end

-- Which of the steps run.
local function through(gate, play, steps)
    local ran = {}
    if not gate:play(play) then return "not in this play" end
    for _, each in ipairs(steps) do
        if not gate:skips(each, each.holds) then ran[#ran + 1] = each.name end
    end
    return ran
end

describe("tags", function()
    local function wanted(only, skip, ...)
        return filter.wanted(only and filter.set(only), skip and filter.set(skip), filter.set { ... })
    end

    it("are all wanted where nothing is said, but for never", function()
        assert.is_true(wanted(nil, nil))
        assert.is_true(wanted(nil, nil, "web"))
        assert.is_false(wanted(nil, nil, "never"))
        assert.is_false(wanted(nil, nil, "never", "web"))
    end)

    it("choose what has one of them", function()
        assert.is_true(wanted({ "web" }, nil, "db", "web"))
        assert.is_false(wanted({ "web" }, nil, "db"))
        assert.is_false(wanted({ "web" }, nil))
        assert.is_true(wanted({ "web" }, nil, "always"))
        assert.is_true(wanted({ "reset" }, nil, "never", "reset"))
    end)

    it("leave out what has one of them", function()
        assert.is_false(wanted(nil, { "slow" }, "web", "slow"))
        assert.is_true(wanted(nil, { "slow" }, "web"))
        assert.is_false(wanted({ "web" }, { "slow" }, "web", "slow"))
        assert.is_false(wanted(nil, { "always" }, "always"))
    end)

    it("are names, lists or sets", function()
        assert.are.same({ a = true, b = true, c = true }, filter.set("a", { "b" }, { c = true }, nil))
    end)
end)

describe("a starting point", function()
    local steps = { step("1", "a"), step("2", "b"), step("3", "a"), step("4", "c") }

    it("is a step by number or name, of any play or of one", function()
        assert.are.same({ id = "3.2", text = "3.2" }, filter.point "3.2")
        assert.are.same({ play = 2, id = "3.2", text = "2:3.2" }, filter.point "2:3.2")
        assert.are.same({ name = "install nginx", text = "install nginx" }, filter.point "install nginx")
        assert.are.same({ play = 12, name = "a:b", text = "12:a:b" }, filter.point "12:a:b")
    end)

    it("lets nothing before it run, and all behind it", function()
        assert.are.same({ "b", "a", "c" }, through(filter.gate { start = filter.point "b" }, 1, steps))
        assert.are.same({ "a", "c" }, through(filter.gate { start = filter.point "3" }, 1, steps))
        assert.are.same({ "a", "c" }, through(filter.gate { start = { play = 1, name = "a", nth = 2 } }, 1, steps))
    end)

    it("is looked for in the next play, where its play is not said", function()
        local gate = filter.gate { start = filter.point "c" }
        assert.are.same({}, through(gate, 1, { steps[1], steps[2] }))
        gate:ends(1)
        assert.is_true(gate:seeking())
        assert.are.same({ "c" }, through(gate, 2, steps))
        assert.is_false(gate:seeking())
    end)

    it("keeps plays before its own from running at all", function()
        local gate = filter.gate { start = filter.point "2:b" }
        assert.are.equal("not in this play", through(gate, 1, steps))
        assert.are.same({ "b", "a", "c" }, through(gate, 2, steps))
        assert.are.same({ "a", "b", "a", "c" }, through(gate, 3, steps))
    end)

    it("may be a play as a whole, or the end of one", function()
        assert.are.same({ "a", "b", "a", "c" }, through(filter.gate { start = { play = 1 } }, 1, steps))
        local gate = filter.gate { start = { play = 1, ending = true } }
        assert.are.same({}, through(gate, 1, steps))
        gate:ends(1)
        assert.is_false(gate:seeking())
    end)

    it("that is missed in its own play is an error", function()
        local gate = filter.gate { start = filter.point "1:x" }
        assert.are.same({}, through(gate, 1, steps))
        assert.has_error(function() gate:ends(1) end, "argument: there is no step '1:x' to start at")
        assert.is_false(gate:seeking())
    end)

    it("may be inside of what holds steps, which is entered to look", function()
        local holder = step("2", "task")
        holder.holds = "task"
        local gate = filter.gate { start = filter.point "2.2" }
        assert.are.same({ "task", "y", "z" }, through(gate, 1,
            { step("1", "a"), holder, step("2.1", "x"), step("2.2", "y"), step("3", "z") }))
    end)
end)

describe("a gate", function()
    it("enters what holds steps to look for tags inside, unless it has some itself", function()
        local gate = filter.gate { only = filter.set "b" }
        gate:play(1)
        local function holder(name, own, inherited)
            return { id = "1", name = name, own = filter.set(own), tags = filter.set(own, inherited) }
        end
        assert.is_nil(gate:skips(holder "no tags", "task"))
        assert.is_nil(gate:skips(holder("inherited", nil, "a"), "batch"))
        assert.are.equal("tags", gate:skips(holder("others", "a"), "task"))
        assert.is_nil(gate:skips(holder("wanted", "b", "a"), "task"))
        assert.are.equal("tags", gate:skips(holder "no tags"))
        gate = filter.gate { only = filter.set "b", skip = filter.set "a" }
        gate:play(1)
        assert.are.equal("tags", gate:skips(holder("inherited", nil, "a"), "task"))
    end)

    it("asks whoever is at the keyboard, of what would run", function()
        local asked = {}
        local gate = filter.gate {
            skip = filter.set "no", confirm = function(s)
                asked[#asked + 1] = s.name
                return s.name ~= "b"
            end,
        }
        gate:play(1)
        assert.is_nil(gate:skips(step("1", "a")))
        assert.are.equal("step", gate:skips(step("2", "b")))
        assert.are.equal("tags", gate:skips(step("3", "c", "no")))
        assert.are.same({ "a", "b" }, asked)
    end)
end)
