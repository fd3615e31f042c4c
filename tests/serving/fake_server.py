"""Answers /health after a while, then lives, dies or ignores being asked to stop.

    fake_server.py PORT COUNTER [--healthy-after S] [--die-after S] [--stubborn]
                   [--child PIDFILE] [--dies-first N]

COUNTER is a file that gets one line a start.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("counter", type=Path)
    parser.add_argument("--healthy-after", type=float, default=0.0)
    parser.add_argument("--die-after", type=float)
    parser.add_argument("--dies-first", type=int, default=0)
    parser.add_argument("--stubborn", action="store_true")
    parser.add_argument("--child", type=Path)
    options = parser.parse_args()
    with options.counter.open("a") as file:
        file.write("started\n")
    starts = len(options.counter.read_text().splitlines())
    print(f"fake server, start {starts}", flush=True)
    if options.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.child:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        options.child.write_text(str(child.pid))
    if starts <= options.dies_first:
        print("libc10_cuda.so: cannot open shared object file", flush=True)
        os._exit(7)
    time.sleep(options.healthy_after)
    if options.die_after is not None:
        threading.Timer(options.die_after, os._exit, [9]).start()
    HTTPServer(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
