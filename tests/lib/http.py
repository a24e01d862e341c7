"""HTTP requests to a test's HAProxy, one or many at once."""
import concurrent.futures
import http.client
import threading


class Reply:
    """What came back.  shown holds the variables of HAProxy(show=...): None where one was not set."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body
        self.shown = {}
        for name, value in headers:
            if name.lower().startswith("x-show-"):
                self.shown[name[7:].lower()] = value[1:] if value.startswith("=") else None

    def __getitem__(self, name):
        return self.shown[name]

    def __repr__(self):
        return f"<{self.status} {self.shown} {self.body[:200]!r}>"


class Client:
    """One keep-alive connection, opened again when HAProxy closed it after a reply."""

    def __init__(self, port, host="127.0.0.1", timeout=20):
        self.connection = http.client.HTTPConnection(host, port, timeout=timeout)

    def request(self, path="/", method="GET", headers=None, body=None):
        self.connection.request(method, path, body=body, headers=headers or {})
        response = self.connection.getresponse()
        return Reply(response.status, response.getheaders(), response.read())

    def close(self):
        self.connection.close()


def request(port, path="/", method="GET", headers=None, body=None, timeout=20):
    """One request on a connection of its own."""
    client = Client(port, timeout=timeout)
    try:
        return client.request(path, method, headers, body)
    finally:
        client.close()


def many(port, count, concurrency, path=lambda n: "/", keep_alive=True, timeout=20, **request_args):
    """The replies, in order, to count requests for path(n), so many at once.

    Ends with an AssertionError once HAProxy's SPOE failed for 20 of them: each such may take its timeout.
    """
    local, clients, failed = threading.local(), [], []

    def one(n):
        if len(failed) >= 20:
            raise AssertionError(f"HAProxy's SPOE fails: {failed[:3]}")
        if not keep_alive:
            reply = request(port, path(n), timeout=timeout, **request_args)
        else:
            if not hasattr(local, "client"):
                local.client = Client(port, timeout=timeout)
                clients.append(local.client)
            reply = local.client.request(path(n), **request_args)
        if reply.shown.get("err"):
            failed.append((n, reply))
        return reply

    try:
        with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
            return list(pool.map(one, range(count)))
    finally:
        for client in clients:
            client.close()


class Load:
    """Requests that go on, so many at once, from entering the `with` block until its end.

    Each is on a connection of its own.  `replies` holds (n, Reply); `await_replies` waits for more.
    From one such wait to the next there are `limit` at the most.
    """

    def __init__(self, port, concurrency, path=lambda n: "/", limit=5000):
        self.port, self.path, self.limit = port, path, limit
        self.replies, self.errors = [], []
        self._changed = threading.Condition()
        self._next, self._end, self._stop = 0, limit, False
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(concurrency)]

    def _run(self):
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stop or self._next < self._end)
                if self._stop:
                    return
                n, self._next = self._next, self._next + 1
            try:
                outcome, error = (n, request(self.port, self.path(n))), None
            except (OSError, http.client.HTTPException) as caught:
                outcome, error = None, (n, repr(caught))
            with self._changed:
                if error:
                    self.errors.append(error)
                else:
                    self.replies.append(outcome)
                self._changed.notify_all()

    def await_replies(self, more, timeout=60):
        """Waits until so many more replies than now have come."""
        with self._changed:
            target, self._end = len(self.replies) + more, self._next + self.limit
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: len(self.replies) >= target or self.errors, timeout):
                raise AssertionError(f"{len(self.replies)} of {target} replies after {timeout} s")
            if self.errors:
                raise AssertionError(f"requests failed: {self.errors[:5]}")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, value, trace):
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(60)
        if kind is None and self.errors:
            raise AssertionError(f"{len(self.errors)} requests failed: {self.errors[:5]}")
