#if CommandLineSupport
import Foundation
import TestSupport
import Testing
import TokenBroker

/// Tests of the demo behind nginx, in a real browser that does not know about the proxy.
struct ProxyTests {
    /// The configuration with which nginx forwards requests. The demo lists 127.0.0.1 as its proxy.
    enum Proxy: String, CaseIterable, Sendable {
        /// Uses `proxy_pass` alone, which sends the upstream's name as `Host`.
        case plain = ""
        case host = "proxy_set_header Host $host:$server_port;"
        case forwardedHost =
            "proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;"
        case forwarded = "proxy_set_header Forwarded 'for=\"$remote_addr\";host=\"$http_host\"';"
        case unlisted = "proxy_bind 127.0.0.2; proxy_set_header X-Forwarded-Host $http_host;"
        case contradicting =
            "proxy_set_header X-Forwarded-Host other.example; proxy_set_header Forwarded 'host=\"$http_host\"';"
    }

    private func withProxies(
        _ body: (Browser, _ port: (Proxy) throws -> Int) async throws -> Void
    ) async throws {
        let demo = try RunningProgram.tokenBroker(["demo", "--port", "0", "--trusted-proxy", "127.0.0.1"])
        let upstream = try await demo.authority(inLine: "Open http")
        var (ports, servers) = ([Proxy: Int](), "")
        for proxy in Proxy.allCases {
            let port = try Nginx.freePort()
            ports[proxy] = port
            servers +=
                "server { listen 127.0.0.1:\(port); \(proxy.rawValue) location / { proxy_pass http://\(upstream); } }\n"
        }
        let nginx = try Nginx(servers: servers)
        defer { nginx.stop() }
        try await withBrowser(["--host-resolver-rules=MAP shop.test 127.0.0.1"], beside: demo) { browser in
            try await body(browser) { try #require(ports[$0]) }
        }
    }

    private func outcome(_ browser: Browser, _ address: String) async throws -> String {
        try await browser.open(address)
        try await browser.wait(
            until: "['ready', 'failed'].includes(document.querySelector('#status').dataset.state)")
        let state = try await browser.run("return document.querySelector('#status').dataset.state")
        let code = try await browser.run("return document.querySelector('#error').dataset.code ?? ''")
        return state == "ready" ? "ready" : code.string?.unicode ?? ""
    }

    /// For a trustworthy address, such as localhost or any https address, the browser says whose page sends a request.
    @Test func `a page on a trustworthy origin gets a token behind any proxy`() async throws {
        try await withProxies { browser, port in
            for proxy in Proxy.allCases {
                let outcome = try await outcome(browser, "http://localhost:\(port(proxy))/")
                #expect(outcome == "ready", "\(proxy)")
            }
        }
    }

    /// Over plain http and under another name it does not, so the server compares `Origin` with its own name.
    @Test func `a page on plain http gets a token only if Host or a listed proxy names the server`() async throws {
        try await withProxies { browser, port in
            let expected: [Proxy: String] = [
                .plain: "forbidden", .host: "ready", .forwardedHost: "ready", .forwarded: "ready",
                .unlisted: "forbidden", .contradicting: "forbidden",
            ]
            for proxy in Proxy.allCases {
                let outcome = try await outcome(browser, "http://shop.test:\(port(proxy))/")
                #expect(outcome == expected[proxy], "\(proxy)")
            }
        }
    }
}
#endif
