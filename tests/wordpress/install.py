#!/usr/bin/python3
"""Completes WordPress' installation page with a real browser, as a person would: clicks and typing, through Chromium's DevTools protocol.

install.py URL TITLE [SCREENSHOTS]    needs chromium and python3-websocket; ends 0 once the new user has logged in and sees the site
"""
import base64
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import websocket

USER, PASSWORD, MAIL = "editor", "Correct-Horse-7-Battery", "editor@example.org"
PATIENCE = 120  # seconds that a page may take


class Browser:
    """One tab of a headless Chromium with a profile of its own."""

    def __init__(self, profile, screenshots):
        self.screenshots = screenshots
        self.shots = 0
        self.sent = 0
        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--disable-gpu", "--no-first-run", "--no-proxy-server", "--disable-dev-shm-usage",
             "--window-size=1000,1200", "--remote-debugging-port=0", "--remote-allow-origins=*",
             f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=open(f"{profile}/stderr", "wb"), start_new_session=True)
        port_file = pathlib.Path(profile, "DevToolsActivePort")
        until("the browser starts", lambda: port_file.exists() and port_file.read_text().count("\n"))
        port = port_file.read_text().split()[0]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        tabs = json.load(opener.open(f"http://127.0.0.1:{port}/json/list"))
        tab = next(tab for tab in tabs if tab["type"] == "page")
        self.socket = websocket.create_connection(tab["webSocketDebuggerUrl"], timeout=PATIENCE, http_no_proxy=["127.0.0.1"])

    def close(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()

    def call(self, method, **parameters):
        self.sent += 1
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.sent:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]

    def value(self, script):
        """What a script in the page gives; None while the page changes."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def has(self, selector):
        return self.value(f"document.readyState == 'complete' && !!document.querySelector({json.dumps(selector)})")

    def text(self):
        return self.value("document.body ? document.body.innerText : ''") or ""

    def open(self, url):
        failed = self.call("Page.navigate", url=url).get("errorText")
        if failed:
            raise RuntimeError(f"{url}: {failed}")

    def click(self, selector):
        """Presses the mouse in the middle of an element."""
        until(f"{selector} is there", lambda: self.has(selector))
        x, y = self.value(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}});"
                          "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector, text):
        """Puts text in place of what a field holds."""
        self.click(selector)
        self.value(f"document.querySelector({json.dumps(selector)}).select()")
        self.call("Input.insertText", text=text)
        found = self.value(f"document.querySelector({json.dumps(selector)}).value")
        if found != text:
            raise RuntimeError(f"{selector} holds {found!r}, not {text!r}")

    def shoot(self, name):
        if self.screenshots:
            self.shots += 1
            picture = self.call("Page.captureScreenshot", format="png")["data"]
            pathlib.Path(self.screenshots, f"{self.shots}-{name}.png").write_bytes(base64.b64decode(picture))


def until(what, holds):
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {PATIENCE} s")
        time.sleep(0.1)


def install(browser, url, title):
    browser.open(url)
    until("the installation page comes", lambda: browser.has("#language") or browser.has("#weblog_title"))
    if "/wp-admin/install.php" not in browser.value("location.pathname"):
        raise RuntimeError("not sent to the installation page: " + browser.value("location.href"))
    if browser.has("#language"):
        browser.shoot("language")
        print("language page: English")
        browser.click("#language-continue")
    until("the form comes", lambda: browser.has("#weblog_title"))
    until("the form's script runs", lambda: browser.value("document.querySelector('#pass1').value != ''"))
    browser.type("#weblog_title", title)
    browser.type("#user_login", USER)
    browser.type("#pass1", PASSWORD)
    browser.type("#admin_email", MAIL)
    browser.shoot("form")
    print("form: filled in")
    browser.click("#submit")
    until("the installation ends", lambda: browser.has("h1") and not browser.has("#weblog_title"))
    browser.shoot("success")
    if "Success!" not in browser.text():
        raise RuntimeError("no success: " + browser.text())
    print("installed: " + " ".join(browser.text().split()))


def log_in(browser, title):
    browser.click(".step a.button")
    until("the login page comes", lambda: browser.has("#user_login") and browser.has("#wp-submit"))
    # The page puts the focus into a field of its own accord shortly after it has come.
    until("the login page is ready", lambda: browser.value("document.activeElement.id == 'user_login'"))
    browser.type("#user_login", USER)
    browser.type("#user_pass", PASSWORD)
    browser.click("#wp-submit")
    until("the dashboard comes", lambda: browser.has("#wpadminbar") or browser.has("#login_error"))
    browser.shoot("dashboard")
    if not browser.value("document.title").startswith("Dashboard"):
        raise RuntimeError("not logged in: " + browser.text())
    print("logged in: " + browser.value("document.title"))
    if title not in browser.text():
        raise RuntimeError("the dashboard does not name the site")


def look(browser, url):
    browser.open(url)
    until("the site comes", lambda: browser.has(".wp-site-blocks"))
    browser.shoot("site")
    if "Hello world!" not in browser.text():
        raise RuntimeError("the site lacks its first post: " + browser.text())
    print("the site: " + browser.value("document.title"))


def main():
    url, title = sys.argv[1:3]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile, sys.argv[3] if len(sys.argv) > 3 else None)
        try:
            install(browser, url, title)
            log_in(browser, title)
            look(browser, url)
        except Exception as error:
            browser.shoot("failed")
            print(browser.text(), file=sys.stderr)
            sys.exit(f"install.py: {error}")
        finally:
            browser.close()


main()
