#if CommandLineSupport
import Foundation
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

/// Tests of `checkout-token.js` that need no browser.
@Suite struct CheckoutTokenScriptTests {
    /// Tests time, options and responses on clocks and timers that the test moves.
    @Test func `checkout-token.js does what its documentation says`() async throws {
        let tests = folder.appending(path: "checkout-token.test.mjs").path
        let node = try RunningProgram("/usr/bin/node", ["--test", tests])
        let code = await node.exitCode()
        #expect(code == 0, "\(node.output)")
    }

    @Test func `the storefront's scripts and a page in TypeScript pass the strict type check`() async throws {
        let compiler = try RunningProgram("/usr/bin/tsc", ["--project", folder.appending(path: "tsconfig.json").path])
        let code = await compiler.exitCode()
        #expect(code == 0, "\(compiler.output)")
    }

    private var folder: URL { URL(filePath: #filePath).deletingLastPathComponent().appending(path: "JavaScript") }
}

/// Tests of `checkout-token.js` in a real browser, for behaviour that needs a browser and a network.
@Suite(.serialized, .tags(.slow)) struct CheckoutTokenInBrowserTests {
    /// Runs the body of an async function in a page whose server responds to token requests with `answer`.
    ///
    /// The script can call `make(options)` and `outcome(call)`. The latter returns the token, or the error's code,
    /// status, `retryAfter` and the name of its cause.
    private func inPage(
        policy: String = "", userInfo: String = "", answer: @escaping Site.Answer,
        _ body: (Browser, Site, _ run: (String) async throws -> JSONValue) async throws -> Void
    ) async throws {
        let site = try Site(policy: policy, answer: answer)
        let browser = try await Browser.start()
        do {
            try await browser.open("http://\(userInfo)127.0.0.1:\(site.port)/")
            try await body(browser, site) { script in try await browser.run(Self.prelude + script) }
        } catch {
            await browser.stop()
            site.stop()
            throw error
        }
        await browser.stop()
        site.stop()
    }

    private static let prelude = """
        const { createCheckoutToken, CheckoutTokenError } = await import('/checkout-token.js');
        const make = options => createCheckoutToken({ customerId: 'c', invoiceId: 'i', ...options });
        const outcome = async call => { try { return await call; } catch (error) {
            if (!(error instanceof CheckoutTokenError)) throw error;
            return [error.code, error.status, error.retryAfter, error.cause?.name ?? null]; } };

        """

    private static func failure(
        _ code: String, status: Double? = nil, retryAfter: Double? = nil, cause: String? = nil
    ) -> JSONValue {
        .array([
            .string(code), status.map(JSONValue.number) ?? .null, retryAfter.map(JSONValue.number) ?? .null,
            cause.map(JSONValue.string) ?? .null,
        ])
    }

    @Test func `a page that mounts five times makes one call, and one more after a refusal`() async throws {
        try await inPage(answer: { $0.sendToken(number: $1) }) { _, site, run async throws in
            let tokens = try await run(
                """
                const checkoutToken = make();
                const mounts = await Promise.all([1, 2, 3, 4].map(() => checkoutToken.forClient()));
                mounts.push(await checkoutToken.forClient());
                const renewed = await Promise.all(mounts.map(mount => mount.onAccessTokenExpired()));
                return [...mounts.map(mount => mount.accessToken), ...renewed, await mounts[0].onAccessTokenExpired()];
                """
            )
            let expected = Array(repeating: "t1", count: 5) + Array(repeating: "t2", count: 5) + ["t3"]
            #expect(tokens == .array(expected.map(JSONValue.string)))
            let replaced = site.requests.map { $0.firstRange(of: "\"replaces\":\"id1\"") != nil }
            #expect(replaced == [false, true, false])
        }
    }

    @Test func `a request whose connection closes without a response is retried`() async throws {
        try await inPage(answer: { if $1 > 1 { $0.sendToken(number: $1) } }) { _, site, run async throws in
            #expect(try await run("return outcome(make().get())") == "t2")
            #expect(site.requests.count == 2)
        }
    }

    @Test func `a request that gets no response fails with the browser's own error as its cause`() async throws {
        try await inPage(answer: { _, _ in }) { _, site, run async throws in
            #expect(
                try await run("return outcome(make({ maxWait: 400 }).get())")
                    == Self.failure("network", cause: "TypeError"))
            #expect(site.requests.count == 1)
        }
    }

    @Test func `a request to a server that hangs times out and closes its connection`() async throws {
        let (closed, isClosed) = AsyncStream.makeStream(of: Void.self)
        try await inPage(
            answer: { connection, _ in
                connection.waitForClose()
                isClosed.yield()
            }
        ) { _, _, run async throws in
            #expect(
                try await run("return outcome(make({ maxWait: 300 }).get())")
                    == Self.failure("timeout", cause: "TimeoutError"))
            for await _ in closed { break }
            #expect(
                try await run(
                    """
                    const controller = new AbortController();
                    const token = make({ signal: controller.signal }).get();
                    setTimeout(() => controller.abort(), 100);
                    return outcome(token);
                    """
                ) == Self.failure("aborted", cause: "AbortError")
            )
            for await _ in closed { break }
        }
    }

    @Test func `a page without a network gets its token once the network is back`() async throws {
        try await inPage(answer: { $0.sendToken(number: $1) }) { browser, site, run async throws in
            _ = try await run(
                "window.pauses = 0; window.checkoutToken = make({ onWait: () => { window.pauses += 1; } });")
            try await browser.devTools("Network.enable")
            func emulate(offline: Bool) async throws {
                try await browser.devTools(
                    "Network.emulateNetworkConditions",
                    [
                        "offline": .bool(offline), "latency": .number(0), "downloadThroughput": .number(-1),
                        "uploadThroughput": .number(-1),
                    ]
                )
            }
            try await emulate(offline: true)
            _ = try await browser.run("window.token = window.checkoutToken.get();")
            try await browser.wait(until: "window.pauses > 0")
            #expect(site.requests.isEmpty)
            try await emulate(offline: false)
            #expect(try await browser.run("return window.token") == "t1")
        }
    }

    @Test func `a redirect to a sign-in page is not followed and is reported as such`() async throws {
        try await inPage(
            answer: { connection, _ in
                connection.send(
                    "HTTP/1.1 302 Found\r\nLocation: /sign-in\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            }
        ) { _, site, run async throws in
            #expect(try await run("return outcome(make().get())") == Self.failure("sign_in"))
            #expect(site.requests.count == 1)
        }
    }

    @Test func `a sign-in page in place of a token is reported as such`() async throws {
        try await inPage(answer: { connection, _ in connection.sendPage("<form>") }) { _, site, run async throws in
            #expect(try await run("return outcome(make().get())") == Self.failure("sign_in", status: 200))
            #expect(site.requests.count == 1)
        }
    }

    @Test func `a request that the page's content security policy forbids fails at once`() async throws {
        let policy =
            "Content-Security-Policy: default-src 'self' 'unsafe-inline'; connect-src https://elsewhere.example\r\n"
        try await inPage(policy: policy, answer: { $0.sendToken(number: $1) }) { _, site, run async throws in
            let other = try Site(answer: { $0.sendToken(number: $1) })
            defer { other.stop() }
            for endpoint in ["/api/checkout-token", "http://127.0.0.1:\(other.port)/api/checkout-token?x=1#y"] {
                #expect(
                    try await run(
                        "return outcome(make({ endpoint: '\(endpoint)', onWait: () => { throw 'a pause'; } }).get())")
                        == Self.failure("blocked", cause: "TypeError"))
            }
            #expect(site.requests.isEmpty && other.requests.isEmpty)
        }
    }

    @Test func `a report-only content security policy blocks nothing`() async throws {
        let policy = "Content-Security-Policy-Report-Only: connect-src https://elsewhere.example\r\n"
        try await inPage(policy: policy, answer: { if $1 > 1 { $0.sendToken(number: $1) } }) { _, _, run async throws in
            #expect(try await run("return outcome(make().get())") == "t2")
        }
    }

    @Test func `a page with user information in its address fails at once`() async throws {
        try await inPage(userInfo: "user:secret@", answer: { $0.sendToken(number: $1) }) { _, site, run async throws in
            #expect(
                try await run("return outcome(make({ onWait: () => { throw 'a pause'; } }).get())")
                    == Self.failure("invalid_options", cause: "TypeError"))
            #expect(site.requests.isEmpty)
        }
    }

    @Test func `a request that the server's CORS headers do not allow fails with a cause`() async throws {
        try await inPage(answer: { _, _ in }) { _, _, run async throws in
            let other = try Site(answer: { $0.sendToken(number: $1) })
            defer { other.stop() }
            #expect(
                try await run(
                    "return outcome(make({ endpoint: 'http://127.0.0.1:\(other.port)/x', maxWait: 400 }).get())")
                    == Self.failure("network", cause: "TypeError"))
        }
    }

    @Test func `a cross-origin Retry-After date counts only if the Date header is exposed too`() async throws {
        for (exposed, seconds) in [("Retry-After", nil), ("Retry-After, Date", 3_600.0)] {
            try await inPage(answer: { _, _ in }) { browser, _, run async throws in
                let other = try Site(
                    fields: "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: \(exposed)\r\n",
                    answer: { connection, _ in
                        connection.send(
                            """
                            HTTP/1.1 503 Service Unavailable\r\nDate: Wed, 21 Oct 2026 07:28:00 GMT\r\n\
                            Retry-After: Wed, 21 Oct 2026 08:28:00 GMT\r\nAccess-Control-Allow-Origin: *\r\n\
                            Access-Control-Expose-Headers: \(exposed)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n
                            """
                        )
                    }
                )
                defer { other.stop() }
                #expect(
                    try await run(
                        "return outcome(make({ endpoint: 'http://127.0.0.1:\(other.port)/x', maxWait: 400 }).get())")
                        == Self.failure("http_error", status: 503, retryAfter: seconds))
            }
        }
    }

    // MARK: Frozen pages, which a browser freezes in real time

    @Test func `a wait that the page was frozen through ends with the server's error`() async throws {
        try await inPage(answer: { connection, number in if number == 1 { connection.sendBusy() } }) {
            browser, site, run in
            try await begin("make({ maxWait: 1500, onWait: () => { window.isWaiting = true; } })", run)
            try await browser.wait(until: "window.isWaiting")
            try await freeze(browser, for: .seconds(2))
            #expect(
                try await browser.run("return window.outcome")
                    == Self.failure("vendor_busy", status: 503, retryAfter: 1))
            #expect(site.requests.count == 1)
        }
    }

    @Test func `a request after a wait in which the page was frozen gets its whole timeout`() async throws {
        let (arrived, hasArrived) = AsyncStream.makeStream(of: RawServer.Connection.self)
        let done = DispatchSemaphore(value: 0)
        try await inPage(
            answer: { connection, number in
                guard number > 1 else { return connection.sendBusy() }
                hasArrived.yield(connection)
                done.wait()
                connection.sendToken(number: number)
            }
        ) { browser, site, run async throws in
            try await begin("make({ timeout: 8000, maxWait: 3000, onWait: () => { window.isWaiting = true; } })", run)
            try await browser.wait(until: "window.isWaiting")
            try await freeze(browser, for: .milliseconds(2_400))
            for await _ in arrived { break }
            // This is longer than what remains of `maxWait`.
            try await Task.sleep(for: .milliseconds(1_200))
            done.signal()
            #expect(try await browser.run("return window.outcome") == "t2")
            #expect(site.requests.count == 2)
        }
    }

    @Test func `a response that arrives while the page is frozen is read`() async throws {
        let (arrived, hasArrived) = AsyncStream.makeStream(of: Void.self)
        let done = DispatchSemaphore(value: 0)
        try await inPage(
            answer: { connection, number in
                hasArrived.yield()
                done.wait()
                connection.sendToken(number: number)
            }
        ) { browser, site, run async throws in
            try await begin("make({ timeout: 1000 })", run)
            for await _ in arrived { break }
            try await browser.devTools("Page.setWebLifecycleState", ["state": "frozen"])
            done.signal()
            try await Task.sleep(for: .milliseconds(2_200))
            try await browser.devTools("Page.setWebLifecycleState", ["state": "active"])
            #expect(try await browser.run("return window.outcome") == "t1")
            #expect(site.requests.count == 1)
        }
    }

    /// Starts a call without waiting for its outcome.
    private func begin(_ checkoutToken: String, _ run: (String) async throws -> JSONValue) async throws {
        _ = try await run("window.outcome = outcome(\(checkoutToken).get());")
    }

    private func freeze(_ browser: Browser, for time: Duration) async throws {
        try await browser.devTools("Page.setWebLifecycleState", ["state": "frozen"])
        try await Task.sleep(for: time)
        try await browser.devTools("Page.setWebLifecycleState", ["state": "active"])
    }
}

/// A server of a page, the module and an endpoint, on a real socket.
private final class Site: Sendable {
    /// Handles the request with this number, counted from 1. The connection is closed afterwards.
    typealias Answer = @Sendable (RawServer.Connection, _ number: Int) -> Void

    private let server: RawServer
    private let received: Received

    private final class Received: Sendable {
        let requests = Mutex<[String]>([])
    }

    /// The requests for a token, in order.
    var requests: [String] { received.requests.withLock { $0 } }
    var port: Int { server.port }

    /// - Parameters:
    ///   - policy: A header field of the page, with its line ending.
    ///   - fields: The header fields of the response to a preflight request.
    init(policy: String = "", fields: String = "", answer: @escaping Answer) throws {
        let module = try String(
            contentsOf: URL(filePath: #filePath).deletingLastPathComponent()
                .appending(path: "../../Samples/Storefront/checkout-token.js"),
            encoding: .utf8
        )
        let received = Received()
        self.received = received
        server = try RawServer { connection in
            guard let request = connection.readRequest() else { return }
            if request.hasPrefix("POST ") {
                let number = received.requests.withLock { requests in
                    requests.append(request)
                    return requests.count
                }
                answer(connection, number)
            } else if request.hasPrefix("OPTIONS ") {
                connection.send(
                    """
                    HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Headers: Content-Type\r\n\(fields)\
                    Connection: close\r\n\r\n
                    """
                )
            } else if request.hasPrefix("GET /checkout-token.js ") {
                connection.sendPage(module, type: "text/javascript; charset=utf-8")
            } else {
                connection.sendPage("<!doctype html><title>A page</title>", fields: policy)
            }
        }
    }

    func stop() { server.stop() }
}

extension RawServer.Connection {
    fileprivate func sendPage(_ text: String, type: String = "text/html; charset=utf-8", fields: String = "") {
        send(
            """
            HTTP/1.1 200 OK\r\nContent-Type: \(type)\r\nContent-Length: \(text.utf8.count)\r\n\(fields)\
            Connection: close\r\n\r\n\(text)
            """
        )
    }

    fileprivate func sendToken(number: Int) {
        sendPage(
            """
            {"token": "t\(number)", "tokenId": "id\(number)", "expiresIn": 900, "expiresAt": "2026-10-21T07:43:00Z", \
            "environment": "sandbox"}
            """,
            type: "application/json"
        )
    }

    fileprivate func sendBusy() {
        let body = #"{"type": "about:blank", "status": 503, "title": "Busy.", "error": "Busy.", "code": "vendor_busy"}"#
        send(
            """
            HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n\
            Content-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)
            """
        )
    }
}
#endif
