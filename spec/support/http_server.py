"""A server for specs: http_server.py ADDRESS [CERTIFICATE]. Says its port and its pid, and serves until its stdin ends.

/text /json /binary content           /status/N     an answer with that status
/redirect        to /text            /echo         what was asked, as JSON
/private         needs app:s3cret    /slow         never answers
/count           how often it was asked for
"""
import base64
import http.server
import json
import os
import sys
import threading

counts = {"count": 0}
SUM = ""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # which says "100 Continue" to who asks before sending much

    def answer(self, status, body=b"", kind="text/plain", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def echo(self):
        size = int(self.headers.get("Content-Length") or 0)
        said = {
            "method": self.command,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": self.rfile.read(size).decode(),
        }
        self.answer(200, json.dumps(said).encode(), "application/json")

    def private(self):
        wanted = "Basic " + base64.b64encode(b"app:s3cret").decode()
        if self.headers.get("Authorization") == wanted:
            self.answer(200, b"for you\n")
        else:
            self.answer(401, b"no\n", WWW_Authenticate='Basic realm="spec"')

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/text":
            self.answer(200, b"line 1\nline 2\n", X_Kind="plain")
        elif path == "/binary":
            self.answer(200, bytes(range(256)) * 300, "application/octet-stream")
        elif path == "/json":
            self.answer(200, b'{"ready": true, "list": [1, 2]}', "application/json; charset=utf-8")
        elif path == "/SHA256SUMS":
            self.answer(200, ("%s  other\n%s  text\n" % ("0" * 64, SUM)).encode())
        elif path == "/redirect":
            self.answer(302, b"elsewhere\n", Location="/text")
        elif path == "/loop":
            self.answer(302, Location="/loop")
        elif path == "/count":
            counts["count"] += 1
            self.answer(200, b"%d" % counts["count"])
        elif path.startswith("/status/"):
            self.answer(int(path[8:]), b"as asked\n")
        elif path == "/echo":
            self.echo()
        elif path == "/private":
            self.private()
        elif path == "/slow":
            stop.wait()
        else:
            self.answer(404, b"nothing here\n")

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    import hashlib

    SUM = hashlib.sha256(b"line 1\nline 2\n").hexdigest()
    stop = threading.Event()
    server = http.server.ThreadingHTTPServer((sys.argv[1], 0), Handler)
    server.daemon_threads = True
    if len(sys.argv) > 2:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], os.getpid(), flush=True)
    sys.stdin.read()
    stop.set()
    server.shutdown()
