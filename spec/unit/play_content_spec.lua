require "orrery" -- which brings orrery.sys along
local http = require "orrery.play.content.http"
local leak = require "spec.support.leak"
local record = require "orrery.play.content.record"
local unpack_archive = require "orrery.play.content.unpack"

leak.guard()

describe("what was unpacked", function()
    it("is written down and read again", function()
        local entries = {
            { path = "a b\n\\c", type = "file", size = 3, mtime = 17 },
            { path = "d", type = "directory", size = 0, mtime = 1 },
            { path = "l", type = "link", size = 1, mtime = 2, target = "a\tb" },
        }
        local key, back = record.decode(record.encode("k\ney", entries))
        assert.are.equal("k\ney", key)
        assert.are.same(entries, back)
    end)

    it("is as nothing where it is damaged", function()
        local text = record.encode("k", { { path = "a", type = "file", size = 1, mtime = 1 } })
        assert.is_nil((record.decode(text:sub(1, -2))))
        assert.is_nil((record.decode("x" .. text)))
        assert.is_nil((record.decode(text .. "nonsense\n")))
        assert.is_nil((record.decode ""))
    end)

    it("is known by how it begins", function()
        assert.are.equal("gzip", unpack_archive.kind "\31\139\8")
        assert.are.equal("zstd", unpack_archive.kind "\40\181\47\253")
        assert.are.equal("zip", unpack_archive.kind "PK\3\4")
        assert.are.equal("tar", unpack_archive.kind(("a"):rep(257) .. "ustar\0" .. "00"))
        assert.is_nil(unpack_archive.kind "hello")
        assert.is_nil(unpack_archive.kind(("\0"):rep(512)))
    end)
end)

describe("what curl is told", function()
    it("is quoted", function()
        local text = http.curl_config {
            url = 'http://x/"\\', headers = { B = "2", A = "1\t" }, timeout = 5, body = "a\nb",
        }
        assert.truthy(text:find('url = "http://x/\\"\\\\"\n', 1, true))
        assert.truthy(text:find('header = "A: 1\\t"\nheader = "B: 2"\n', 1, true))
        assert.truthy(text:find('data-raw = "a\\nb"\n', 1, true))
        assert.truthy(text:find("location\nmax-redirs", 1, true))
        assert.is_nil(text:find("insecure", 1, true))
    end)

    it("comes back as a response", function()
        local first = "HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n"
        local second = "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n"
        local said = first .. second .. "body\norrery: 200 " .. #(first .. second) .. " http://x/b\n"
        assert.are.same({ status = 200, url = "http://x/b", content = "body", headers = { ["set-cookie"] = "a, b" } },
            http.parse_curl(said))
    end)
end)

describe("what wget says", function()
    it("has the last response in it", function()
        local said = "  HTTP/1.0 302 Found\n  Location: http://y/\n  HTTP/1.0 404 Not Found\n  X: 1\n"
        local r = http.parse_wget(said, { url = "http://x/" })
        assert.are.same({ status = 404, headers = { x = "1" }, url = "http://y/" }, r)
        assert.is_nil(http.parse_wget("wget: bad address 'x'\n", { url = "http://x/" }))
    end)

    it("is not all that can be asked", function()
        local lines, why = http.wget_config { url = "http://x/", body = "a\nb", timeout = 1 }
        assert.is_nil(lines)
        assert.matches("body of several lines", why)
    end)
end)
