import HTTPTypes
import Testing
import TokenBroker

// MARK: - Refused requests

extension RouteAdapterContract {
    static let refusals: [Case] = [
        Case("a request without a host, with two, or with none that is one, is refused", needs: [.http1, .refusals]) {
            fixture in
            try await withServer(fixture) { client in
                for fields in [
                    "", "Host: a\r\nHost: b\r\n", "Host: a\r\nHost: a\r\n", "Host: a\r\nX: y\r\nhost:\r\n",
                    "Host: a b\r\n",
                    "Host: a/b\r\n", "Host: u@a\r\n", "Host: a,b\r\n", "Host: a:b\r\n", "Host: a:1:2\r\n",
                    "Host: [::1\r\n", "Host: a?\r\n",
                ] {
                    let connection = try await client.connect()
                    await connection.send("GET /status/422 HTTP/1.1\r\n\(fields)\r\n")
                    let code = try await connection.answerOrEnd()?.status.code
                    #expect(code == nil || code == 400, "\(fields.debugDescription): \(code ?? 0)")
                }
                for host in ["a", "a:8080", "127.0.0.1", "[::1]:80", "a-b.example.", "A_1"] {
                    let answer = try await client.connect().exchange(
                        "GET /status/422 HTTP/1.1\r\nHost: \(host)\r\n\r\n")
                    #expect(answer.status == .unprocessableContent, "\(host)")
                }
            }
        },
        Case("a length or coding that two readers could understand differently is refused", needs: [.http1, .refusals])
        { fixture in
            try await withServer(fixture) { client in
                for path in ["/status/422", "/host"] {
                    for fields in [
                        "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity",
                        "Transfer-Encoding: chunked, chunked",
                        "Transfer-Encoding: chunked;x=y", "Transfer-Encoding: xchunked",
                        "Transfer-Encoding: chunked, gzip",
                        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer-Encoding: \"chunked\"",
                        "Transfer-Encoding: chunked\r\nContent-Length: 5",
                        "Content-Length: 5\r\nTransfer-Encoding: chunked",
                        "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5, 6", "Content-Length: -1",
                        "Content-Length: +5",
                        "Content-Length: 5 5", "Content-Length: 0x5", "Content-Length: 5_0", "Content-Length: ",
                        "Content-Length : 5",
                        "Transfer-Encoding : chunked", "Transfer-Encoding: chunked\r\n , identity",
                    ] {
                        try await expectRefusal(client, path, "HTTP/1.1\r\nHost: a\r\n\(fields)")
                    }
                    if fixture.has(.http10) {
                        try await expectRefusal(client, path, "HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked")
                    }
                }
            }
        },
        Case(
            "good requests before a malformed one are answered first, and nothing after it", needs: [.http1, .refusals]
        ) { fixture in
            try await withServer(fixture) { client in
                for garbage in [
                    "\u{1}\u{2}\u{3}\r\n\r\n", "GET /status/500\r\n\r\n",
                    "GET /status/500 HTTP/1.1\r\nbad field: 1\r\nHost: a\r\n\r\n",
                    "GET /status/500 HTTP/9.9\r\nHost: a\r\n\r\n",
                    "POST /status/500 HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
                ] {
                    for good in [["/slow", "/status/422"], ["/host"], ["/slow", "/host"], ["/host", "/slow"]] {
                        let connection = try await client.connect()
                        let requests = good.map { "GET \($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined()
                        await connection.send(requests + garbage + "GET /status/500 HTTP/1.1\r\nHost: a\r\n\r\n")
                        for path in good {
                            let code = try await connection.answer().status.code
                            let expected = ["/slow": 202, "/status/422": 422, "/host": 200][path]
                            #expect(code == expected, "\(path) of \(good) before \(garbage.debugDescription)")
                        }
                        let code = try await connection.answerOrEnd()?.status.code
                        #expect(code == nil || code == 400 || code == 505, "\(garbage.debugDescription) after \(good)")
                        #expect(
                            await connection.isClosedByPeer(),
                            "Something follows \(garbage.debugDescription) after \(good).")
                    }
                }
            }
        },
    ]
}

/// Sends a request whose body hides another request, and expects a refusal.
private func expectRefusal(_ client: Client, _ path: String, _ rest: String) async throws {
    let connection = try await client.connect()
    let hidden = "GET /status/500 HTTP/1.1\r\nHost: a\r\n\r\n"
    await connection.send("POST \(path) \(rest)\r\n\r\n0\r\n\r\n\(hidden)")
    let code = try await connection.answerOrEnd()?.status.code
    #expect(code == nil || code == 400 || code == 501, "\(path), \(rest.debugDescription): \(code ?? 0)")
    #expect(
        await connection.isClosedByPeer(),
        "\(path), \(rest.debugDescription): more follows, or the connection stays open.")
}

extension RawConnection {
    /// Returns the next response, or `nil` if the connection ends without one.
    func answerOrEnd() async throws -> TransportResponse? {
        do {
            return try await answer()
        } catch let error as NoAnswer where error.isEnd {
            return nil
        }
    }
}

// MARK: - Declined upgrades

extension RouteAdapterContract {
    static let upgrades: [Case] = [
        Case("an upgrade is declined, and the connection is not deaf after it", needs: .http1) { fixture in
            try await withServer(fixture) { client in
                for upgrade in [
                    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
                    "Connection: upgrade\r\nUpgrade: anything/1",
                ] {
                    for (path, code) in [("/status/401", 401), ("/echo/a/b", 200), ("/host", 200)]
                    where path != "/host" || fixture.has(.declinedUpgrades) {
                        let request = "GET \(path) HTTP/1.1\r\nHost: a\r\n\(upgrade)\r\n\r\n"
                        let connection = try await client.connect()
                        try await expect(connection.exchange(request).status.code, code, "\(path), \(upgrade)")
                        // The server must answer or close the connection. It must not ignore the request.
                        await connection.send(request)
                        let next = try await connection.answerOrEnd()
                        #expect(next == nil || next?.status.code == code, "\(path), \(upgrade)")
                    }
                }
            }
        },
        Case("what follows an upgrade or a CONNECT that is declined is not kept", needs: [.http1, .declinedUpgrades]) {
            fixture in
            try await withServer(fixture) { client in
                for head in [
                    "GET /status/401 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket",
                    "GET /host HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c",
                    "CONNECT host:1 HTTP/1.1\r\nHost: host:1",
                    "CONNECT host:1 HTTP/1.1\r\nHost: host:1\r\nContent-Length: 5",
                ] {
                    let connection = try await client.connect()
                    await connection.send("\(head)\r\n\r\n")
                    if head.hasPrefix("CONNECT") {
                        let code = try await connection.answerOrEnd()?.status.code
                        #expect(code.map { $0 >= 400 } ?? true, "\(head): \(code ?? 0)")
                    }
                    let bytes = [UInt8](repeating: 7, count: 65_536)
                    let taken = await connection.offer(bytes, upTo: 32 << 20, until: .seconds(2))
                    #expect(taken < 32 << 20, "\(head): the server reads everything that follows.")
                    #expect(await connection.rest() != nil, "\(head): the connection stays open.")
                }
            }
        },
    ]
}
