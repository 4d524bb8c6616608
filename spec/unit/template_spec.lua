--- Templates: what they write, and what they say when they cannot.

local secret = require "orrery.secret"
local template = require "orrery.play.template"

local function render(text, vars, name, opts) return template.render(text, vars, name, opts) end

local function fails(text, vars, name, opts)
    local ok, err = pcall(template.render, text, vars, name or "t.tmpl", opts)
    assert.is_false(ok, "it rendered: " .. tostring(err))
    return err
end

local function assert_fails(expected, text, vars, opts)
    local err = fails(text, vars, nil, opts)
    assert.are.equal(expected, err.message)
    assert.are.equal("template", err.code)
    return err
end

describe("a template", function()
    it("without tags is what it is", function()
        for _, text in ipairs { "", "a", "a\nb\n", "\n\n", 'quotes " and \\ ]] %d\r\n', "\0\1\255", "% > < %>" } do
            assert.are.equal(text, render(text))
        end
    end)

    it("writes values", function()
        assert.are.equal("port 8080;", render("port <%= port %>;", { port = 8080 }))
        assert.are.equal("1e15 is 1000000000000000", render("1e15 is <%= 1e15 %>"))
        assert.are.equal("0.5 -3 true false", render("<%= 1/2 %> <%= -3 %> <%= true %> <%= on %>", { on = false }))
        assert.are.equal("a<&>\"'", render("<%= x %>", { x = "a<&>\"'" }))
        assert.are.equal("one", render("<%= ('one two'):match '%w+' %>"))
    end)

    it("runs code", function()
        local text = "<% for i, name in ipairs(names) do -%>\nserver <%= name %>:<%= 80 + i %>\n<% end -%>\nend\n"
        assert.are.equal("server a:81\nserver b:82\nend\n", render(text, { names = { "a", "b" } }))
        assert.are.equal("yes", render("<% if x then %>yes<% else %>no<% end %>", { x = 1 }))
        assert.are.equal("<1><2>", render("<% local function show(x) %><<%= x %>><% end %><% show(1) show(2) %>"))
        assert.are.equal("3", render("<% sum = 1 %><% sum = sum + 2 %><%= sum %>"))
    end)

    it("has tags of its own for newlines, blanks, comments and itself", function()
        assert.are.equal("a\nb", render("a\n  <%- local x = 1 -%>\nb"))
        assert.are.equal("a b", render("a <%- local x = 1 -%>b"))
        assert.are.equal("a\n1", render("a\n\t<%-= 1 %>"))
        assert.are.equal("ab", render("a<%# what = ' this is %>b"))
        assert.are.equal("<% no %>", render("<%% no %>"))
        assert.are.equal("x\r\ny", render("x\r\n<% local z -%>\r\ny"))
        assert.are.equal("-", render("<%= '-'-%>"))
    end)

    it("may have comments of Lua in its tags", function()
        assert.are.equal("1 text\n", render("<%= 1 -- the first %> text\n"))
        assert.are.equal("text\n", render("<% -- nothing to see %>text\n"))
        assert.are.equal("text--", render("<% local s = '--' -- %>text<%= s %>"))
        assert.are.equal("a]]--b", render("<% --[[ long\n one ]] local s = [=[a]]--b]=] %><%= s %>"))
        assert.are.equal("it's", render([[<% local s = 'it\'s' -- it's %><%= s %>]]))
    end)

    it("has the standard libraries, and no one else's globals", function()
        assert.are.equal("ABC 3 12", render("<%= string.upper 'abc' %> <%= math.floor(3.5) %> <%= 1 .. 2 %>"))
        assert.are.equal("function", render("<%= type(require 'ffi'.new) %>"))
        rawset(_G, "a_global_of_the_script", 1)
        fails("<%= a_global_of_the_script %>")
        rawset(_G, "a_global_of_the_script", nil)
        render "<% from_template = 1 %>"
        assert.is_nil(rawget(_G, "from_template"))
    end)

    it("may be used again", function()
        local t = template.compile("<% n = n + by %><%= n %>", "again")
        assert.are.equal("2", t:render { n = 1, by = 1 })
        assert.are.equal("7", t:render { n = 2, by = 5 })
    end)

    it("may wait while another is rendered", function()
        local t = template.compile "<% local mine = x; wait() %><%= mine %><%= x %>"
        local out = {}
        local function start(x)
            local co = coroutine.create(function()
                local text = t:render { x = x, wait = coroutine.yield }
                out[#out + 1] = text
            end)
            coroutine.resume(co)
            return co
        end
        local one, two = start "1", start "2"
        coroutine.resume(one)
        coroutine.resume(two)
        assert.are.same({ "11", "22" }, out)
    end)
end)

describe("a template that is wrong", function()
    it("says where it is no Lua", function()
        local err = assert_fails("t.tmpl:3: 'then' expected near 'oops'", "a\nb\n<% if oops oops %>\nc")
        assert.are.equal("t.tmpl:3", err.at)
        assert_fails("t.tmpl:2: '<%' has no '%>'", "a\n<% x\nb\n")
        assert_fails("t.tmpl:2: there is nothing between '<%=' and '%>'", "a\n<%= %>\nb\n")
        assert_fails("t.tmpl:2: there is nothing between '<%=' and '%>'", "a\n<%= -- none %>\nb\n")
        assert_fails("t.tmpl:4: 'end' expected (to close 'if' at line 2) near '<eof>'", "a\n<% if true then %>\n\nc")
    end)

    it("says that a value is one expression", function()
        assert.is_truthy(fails("a\n<%= 1, 2 %>").message:find "^t.tmpl:2: ")
        assert.is_truthy(fails("a\n<%= if %>").message:find "^t.tmpl:2: unexpected symbol near 'if'")
        assert.is_truthy(fails("a\n\n<%= 1 +\n\n+ 2 %>").message:find "^t.tmpl:5: ")
    end)

    it("says what writes a value", function()
        local said = fails("a\n<%- name %>\n").message
        assert.is_truthy(said:find("'<%-' runs code: what writes a value is '<%='", 1, true))
    end)

    it("says where its code fails", function()
        assert_fails("t.tmpl:3: attempt to index global 'x' (a number value)", "a\n\n<% local y = x.y.z %>\n",
            { x = 1 })
        local err = assert_fails("t.tmpl:2: no good", "a\n<% error 'no good' %>\n")
        assert.is_truthy(err.traceback)
        assert_fails("t.tmpl:2: no good", "a\n<% error('no good', 0) %>\n")
        assert_fails("t.tmpl:4: attempt to perform arithmetic on local 'x' (a nil value)",
            "<% local function f(x)\n\n\nreturn x + 1 end %>\n<%= f() %>")
    end)

    it("counts lines across all that may have some", function()
        local before = { "text\n\n", "<%# a\nb %>\n", "<% local x = [[\n\n]] -%>\n", "<%= 1\n+ 1 %>\n", "<%= 1 -%>\n",
            "<% --[[\n]] -%>\r\n", "<% local s = 'a\\\nb' %>", "\n  <%- local y -%>\n" }
        local text, lines = "", 1
        for _, part in ipairs(before) do
            text = text .. part
            lines = lines + select(2, part:gsub("\n", ""))
        end
        assert_fails(("t.tmpl:%d: here"):format(lines), text .. "<% error 'here' %>")
        assert_fails(("t.tmpl:%d: 'x.y' is nil"):format(lines), text .. "<%= x.y %>", { x = {} })
    end)

    it("keeps errors that have a meaning", function()
        local Error = require "orrery.error"
        local err = fails("\n<%= f() %>", { f = function() Error.raise { code = "timeout", message = "late" } end })
        assert.are.same({ "timeout", "t.tmpl:2", "t.tmpl:2: late" }, { err.code, err.at, err.message })
    end)

    it("says what is written as nothing", function()
        assert_fails("t.tmpl:2: 'server.prot' is nil; did you mean 'port'?", "a\n<%= server.prot %>",
            { server = { port = 1 } })
        assert_fails("t.tmpl:1: 'server' is a table", "<%= server %>", { server = {} })
        assert_fails("t.tmpl:1: '({})[1]' is nil", "<%=  ({})[1]  %>")
        assert_fails("t.tmpl:1: 'print' is a function", "<%= print %>")
    end)
end)

describe("a name that is not defined", function()
    it("is an error with the nearest one", function()
        local err = assert_fails("t.tmpl:2: 'prot' is not defined; did you mean 'port'?", "a\n<%= prot %>",
            { port = 1 })
        assert.are.equal("t.tmpl:2", err.at)
        assert_fails("t.tmpl:1: 'ipair' is not defined; did you mean 'ipairs'?", "<% for _ in ipair {} do end %>")
        assert_fails("t.tmpl:1: 'qoute' is not defined; did you mean 'quote'?", "<%= qoute 'x' %>")
        assert_fails("t.tmpl:1: 'unlike' is not defined; there are: a, b", "<%= unlike %>", { b = 1, a = 2 })
        assert_fails("t.tmpl:1: 'x' is not defined", "<% if x then %>x<% end %>")
    end)

    it("can be asked for", function()
        local text = "<% if defined 'x' then %>x<% elseif vars.y then %>y<% else %>none<% end %>"
        assert.are.equal("x", render(text, { x = 1 }))
        assert.are.equal("y", render(text, { y = 1 }))
        assert.are.equal("none", render(text))
        assert.are.equal("true", render "<% z = 1 %><%= defined 'z' %>")
    end)

    it("may come from a table that looks things up", function()
        local asked = {}
        local lazy = setmetatable({}, { __index = function(_, name)
            asked[#asked + 1] = name
            return name == "family" and "debian" or nil
        end })
        assert.are.equal("debian", render("<%= family %>", lazy))
        assert.are.same({ "family" }, asked)
    end)
end)

describe("helpers of templates", function()
    it("indent", function()
        assert.are.equal("  a\n\n  b\n", render("<%= indent('a\\n\\nb\\n', 2) %>"))
        assert.are.equal("# a\n# b", render("<%= indent('a\\nb', '# ') %>"))
        assert.are.equal("    a", render("<%= indent 'a' %>"))
    end)

    it("join", function()
        assert.are.equal("a, 2, true", render("<%= join { 'a', 2, true } %>"))
        assert.are.equal("a:b", render("<%= join({ 'a', 'b' }, ':') %>"))
        assert_fails("t.tmpl:1: join, item 2: a text was expected, this is a table", "<%= join { 1, {} } %>")
    end)

    it("quote for sh", function()
        assert.are.equal("plain 'two words' 'it'\\''s' ''", render("<%= join({ quote 'plain', quote 'two words', "
            .. "quote \"it's\", quote '' }, ' ') %>"))
    end)

    it("go through tables in order", function()
        assert.are.equal("1=a;a=1;b=2;", render("<% for k, v in sorted(t) do %><%= k %>=<%= v %>;<% end %>",
            { t = { b = 2, a = 1, "a" } }))
    end)

    it("json", function()
        assert.are.equal('{"a":[1,"x"]}', render("<%= json { a = { 1, 'x' } } %>"))
        local text = render("<%= json { a = pw } %>", { pw = secret.new 'json"unit' })
        assert.are.equal('{"a":"json\\"unit"}', text:reveal())
        assert.are.equal('{"a":"********"}', secret.redact(text:reveal()))
    end)

    it("stand behind variables of the same name", function()
        assert.are.equal("mine", render("<%= quote %>", { quote = "mine" }))
    end)
end)

describe("including", function()
    local files = {
        ["head.tmpl"] = "# for <%= name %>\n", ["list.tmpl"] = "<%= include('head.tmpl', { name = who }) %>.",
        ["bad.tmpl"] = "\n\n<%= nope %>", ["middle.tmpl"] = "\n<%= include 'bad.tmpl' %>",
        ["loop.tmpl"] = "<%= include 'loop.tmpl' %>", ["own.tmpl"] = "<%= assigned %>",
    }
    local opts = { include = function(name)
        if files[name] then return files[name], name end
        return nil, "not here"
    end }

    it("gives the text of another one, with the same names", function()
        assert.are.equal("# for a\nx", render("<%= include 'head.tmpl' %>x", { name = "a" }, "t", opts))
        assert.are.equal("    # for b\n    .",
            render("<%= indent(include 'list.tmpl') %>", { name = "a", who = "b" }, "t", opts))
        assert.are.equal("7", render("<% assigned = 7 %><%= include 'own.tmpl' %>", {}, "t", opts))
    end)

    it("says where what went wrong", function()
        local err = fails("<%= include 'middle.tmpl' %>", {}, nil, opts)
        assert.are.equal("bad.tmpl:3: 'nope' is not defined\n  included at middle.tmpl:2\n  included at t.tmpl:1",
            err.message)
        assert.are.equal("bad.tmpl:3", err.at)
        assert_fails("t.tmpl:1: include: cannot read 'none.tmpl': not here", "<%= include 'none.tmpl' %>", {}, opts)
        assert.is_truthy(fails("<%= include 'loop.tmpl' %>", {}, nil, opts).message:find(
            "include: 'loop.tmpl' would be the 21th inside one another", 1, true))
    end)

    it("finds files beside the template", function()
        local dir = os.tmpname()
        os.remove(dir)
        os.execute("mkdir " .. dir)
        local file = assert(io.open(dir .. "/part.tmpl", "w"))
        file:write "part of <%= name %>"
        file:close()
        assert.are.equal("part of x", render("<%= include 'part.tmpl' %>", { name = "x" }, dir .. "/whole.tmpl"))
        assert.is_truthy(fails("<%= include 'none' %>", {}, dir .. "/whole.tmpl").message:find(dir .. "/none", 1, true))
        os.execute("rm -r " .. dir)
    end)
end)

describe("secrets in templates", function()
    local s

    setup(function() s = secret.new "template-unit's" end)

    it("make the text a secret, of which they alone are redacted", function()
        local text = render("user=app\npassword=<%= pw %>\n", { pw = s })
        assert.is_true(secret.is(text))
        assert.are.equal("user=app\npassword=template-unit's\n", text:reveal())
        assert.are.equal("user=app\npassword=********\n", secret.redact(text:reveal()))
        assert.are.equal("plain", render("plain", { pw = s }))
    end)

    it("go through helpers and what is included", function()
        local text = render("<%= indent(quote(pw), 2) %>,<%= join { pw, 'x' } %>,<%= 'p' .. pw %>", { pw = s })
        assert.are.equal("  'template-unit'\\''s',template-unit's, x,ptemplate-unit's", text:reveal())
        local included = render("<%= include 'x' %>", { pw = s }, "t",
            { include = function() return "<%= pw %>", "x" end })
        assert.are.equal("template-unit's", included:reveal())
    end)

    it("are in no error", function()
        local err = fails("<%= pw.x.y %>", { pw = s })
        assert.is_nil(err:format():find("template-unit's", 1, true))
        err = fails("<% error(pw:reveal()) %>", { pw = s })
        assert.are.equal("t.tmpl:1: ********", err.message)
    end)
end)
