import HTTPTypes
import Testing
import TokenBroker

// MARK: - Request bodies

extension RouteAdapterContract {
    static let bodies: [Case] = [
        Case("a body in chunks, and one that arrives byte by byte, arrive whole", needs: .http1) { fixture in
            try await withServer(fixture) { client in
                let chunked = try await client.connect()
                await chunked.send("POST /echo/a/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in 0..<100 { await chunked.send("3\r\nabc\r\n") }
                let echo = try await client.object(chunked.exchange("0\r\n\r\n"))
                #expect(echo["count"]?.number == 300)
                try await expect(chunked.exchange("GET /host HTTP/1.1\r\nHost: a\r\n\r\n").status, .ok)

                let slow = try await client.connect()
                for byte in Array("POST /echo/a/b HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n012345678".utf8) {
                    await slow.send([byte])
                }
                try await expect(client.object(slow.exchange("9"))["count"]?.number, 10)
            }
        },
        Case("a body that is not read does not spoil the next request", needs: .http1) { fixture in
            try await fixture.withServer(EndpointSet([StatusEndpoint()])) { server in
                let client = Client(server)
                for (size, framing) in [
                    (10, "Content-Length: 10"), (100_000, "Content-Length: 100000"),
                    (500_000, "Content-Length: 500000"),
                    (14, "Transfer-Encoding: chunked"),
                ] {
                    let connection = try await client.connect()
                    // The body looks like a request but must not be parsed as one.
                    let body =
                        size == 14
                        ? "4\r\nGET \r\n0\r\n\r\n"
                        : String(repeating: "GET /status/500 HTTP/1.1\r\nHost: a\r\n\r\n", count: size / 38 + 1).prefix(
                            size)
                    await connection.send("POST /status/401 HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n\(body)")
                    try await expect(connection.answer().status, .unauthorized)
                    // The connection may end now, but must not carry any other response.
                    await connection.send("GET /status/422 HTTP/1.1\r\nHost: a\r\n\r\n")
                    let next = try? await connection.answer()
                    #expect(next == nil || next?.status == .unprocessableContent, "\(framing)")
                }
            }
        },
        Case("an endpoint answers before the body has arrived", needs: .http1) { fixture in
            let endpoints: [any Endpoint] = [StatusEndpoint(), LimitedEndpoint()]
            try await fixture.withServer(EndpointSet(endpoints)) { server in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (path, code, framing) in [
                        // The endpoint ignores the body, refuses its announced length, or gives up on a slow one.
                        ("/status/401", 401, "Content-Length: 100000"),
                        ("/status/401", 401, "Transfer-Encoding: chunked"),
                        ("/limited", 413, "Content-Length: 100000"), ("/limited", 408, "Transfer-Encoding: chunked"),
                        ("/limited", 408, "Content-Length: 60000"),
                    ] {
                        group.addTask {
                            let connection = try await Client(server).connect()
                            let request = "POST \(path) HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n"
                            try await expect(connection.exchange(request).status.code, code, "\(framing)")
                            #expect(await connection.isClosedByPeer())
                        }
                    }
                    try await group.waitForAll()
                }
            }
        },
        Case("an endless body that nobody reads is not read to its end", needs: .http1) { fixture in
            let endpoints: [any Endpoint] = [StatusEndpoint(), LimitedEndpoint(timeLimit: .seconds(10))]
            try await fixture.withServer(EndpointSet(endpoints)) { server in
                for (path, code) in [("/status/401", 401), ("/limited", 413)] {
                    for framing in ["Content-Length: 10000000000", "Transfer-Encoding: chunked"] {
                        let connection = try await Client(server).connect()
                        await connection.send("POST \(path) HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n")
                        let chunk = chunk(framing)
                        if code == 413 { await connection.send(chunk + chunk) }
                        try await expect(connection.answer().status.code, code)
                        // The kernel takes far less than is offered: what the server drains, and what fits its buffers.
                        let sent = await connection.offer(chunk, upTo: 50 << 20, until: .seconds(10))
                        #expect(sent < 50 << 20, "\(path), \(framing)")
                    }
                }
            }
        },
        Case("who asks before sending a body is told to go on when it is wanted", needs: [.http1, .expectContinue]) {
            fixture in
            try await withServer(fixture) { client in
                let connection = try await client.connect()
                await connection.send(
                    "POST /echo/a/b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
                try await expect(connection.answer().status, .continue)
                await connection.send("abc")
                let echo = try await connection.answer()
                try expect(client.object(echo)["count"]?.number, 3)
            }
        },
        Case("who asks before sending a body that is not wanted is told so at once", needs: .http1) { fixture in
            try await fixture.withServer(EndpointSet([StatusEndpoint()])) { server in
                let answer = try await Client(server).connect().exchange(
                    "POST /status/401 HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\nExpect: 100-continue\r\n\r\n")
                #expect(answer.status == .unauthorized)
            }
        },
        Case(
            "forty thousand chunks of a byte that arrive with their head are put together in linear time", needs: .http1
        ) {
            fixture in
            try await withServer(fixture) { client in
                let start = ContinuousClock.now
                let connection = try await client.connect()
                let chunks = String(repeating: "1\r\na\r\n", count: 40_000)
                await connection.send(
                    "POST /echo/a/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\(chunks)0\r\n\r\n")
                try await expect(client.object(connection.answer())["count"]?.number, 40_000)
                let time = ContinuousClock.now - start
                #expect(time < .seconds(10), "It took \(time).")
            }
        },
        Case("a body that comes now and then does not hold the connection once it is answered", needs: .http1) {
            fixture in
            try await withServer(fixture) { client in
                try await expectTricklesEnd(client, ["/status/401"])
            }
        },
        Case("a body for no route of ours does not hold the connection either", needs: [.http1, .boundedBodies]) {
            fixture in
            try await withServer(fixture) { client in
                try await expectTricklesEnd(client, ["/nothing", "/host"])
            }
        },
        Case("an endless body for no route of ours is not read to its end", needs: [.http1, .boundedBodies]) {
            fixture in
            try await withServer(fixture) { client in
                for path in ["/nothing", "/host"] {
                    for framing in ["Content-Length: 10000000000", "Transfer-Encoding: chunked"] {
                        let connection = try await client.connect()
                        await connection.send("POST \(path) HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n")
                        let sent = await connection.offer(chunk(framing), upTo: 50 << 20, until: .seconds(10))
                        #expect(sent < 50 << 20, "\(path), \(framing)")
                        #expect(await connection.rest() != nil, "\(path), \(framing): the connection stays open.")
                    }
                }
                try await client.expectServed()
            }
        },
        Case("a length that no number can hold is refused, and does nobody harm", needs: .http1) { fixture in
            try await withServer(fixture) { client in
                for path in ["/limited", "/nothing", "/host"] where path == "/limited" || fixture.has(.boundedBodies) {
                    for length in [
                        "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
                        String(repeating: "9", count: 40),
                    ] {
                        let connection = try await client.connect()
                        await connection.send(
                            "POST \(path) HTTP/1.1\r\nHost: a\r\nContent-Length: \(length)\r\n\r\nabc")
                        let code = try await connection.answerOrEnd()?.status.code
                        let allowed = path == "/limited" ? [400, 413] : [400, 404, 405, 413]
                        #expect(code.map(allowed.contains) ?? true, "\(path), \(length): \(code ?? 0)")
                        #expect(await connection.isClosedByPeer(), "\(path), \(length): the connection stays open.")
                    }
                }
                try await client.expectServed()
            }
        },
    ]
}

/// Returns a piece of a body in the given framing.
private func chunk(_ framing: String) -> [UInt8] {
    let chunk = [UInt8](repeating: 0, count: 65_536)
    return framing.contains("chunked") ? Array("10000\r\n".utf8) + chunk + Array("\r\n".utf8) : chunk
}

/// Sends bodies byte by byte, and expects the server to close the connections within 15 seconds.
private func expectTricklesEnd(_ client: Client, _ paths: [String]) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for path in paths {
            for (framing, piece) in [("Content-Length: 1000000", "a"), ("Transfer-Encoding: chunked", "1\r\na\r\n")] {
                group.addTask {
                    let connection = try await client.connect()
                    await connection.send("POST \(path) HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n")
                    async let rest = connection.rest(within: .seconds(15))
                    let sender = Task {
                        while await connection.send(piece) { try await Task.sleep(for: .milliseconds(100)) }
                    }
                    let isOver = await rest != nil
                    sender.cancel()
                    #expect(isOver, "\(path), \(framing): the connection is still open after 15 seconds.")
                }
            }
        }
        try await group.waitForAll()
    }
}
