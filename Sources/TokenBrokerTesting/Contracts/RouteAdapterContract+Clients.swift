import HTTPTypes
import Testing
import TokenBroker

// MARK: - Disconnects and shutdowns

extension RouteAdapterContract {
    static let clients: [Case] = [
        Case("when a client goes away, the work for it stops and shared work does not", needs: [.http1, .disconnects]) {
            fixture in
            let issuer = GatedIssuer()
            let waiting = WaitingEndpoint(tokens: CachingTokenProvider(issuer))
            try await fixture.withServer(EndpointSet([waiting])) { server in
                let request = "POST /waiting HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"
                // The client that leaves is the one whose request started the shared work.
                let leaving = try await Client(server).connect()
                await leaving.send(request)
                await leaving.send("1")
                try await issuer.begun.wait("the request to arrive")
                let staying = try await Client(server).connect()
                await staying.send(request)
                await staying.send("1")
                try await waiting.second.wait("the second request to arrive")
                leaving.close()
                try await waiting.cancelled.wait("the work for the client that left to be cancelled")
                issuer.gate.open()
                try await expect(staying.answer().status, .ok)
                #expect(issuer.calls == 1)
            }
        },
        Case("a client that goes away within its body is nobody's trouble", needs: .http1) { fixture in
            try await withServer(fixture) { client in
                for _ in 0..<20 {
                    let connection = try await client.connect()
                    await connection.send("POST /echo/a/b HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\nabc")
                    connection.close()
                }
                try await expect(client.send(.get, "/echo/a/b").status, .ok)
            }
        },
        Case("a client that leaves at once is noticed every time", needs: [.http1, .disconnects]) { fixture in
            let endpoint = EndlessEndpoint()
            try await withServer(fixture, [endpoint]) { client in
                for (name, leave) in [
                    ("closed", { @Sendable in $0.close() }), ("half closed", { @Sendable in $0.closeSending() }),
                    // This is the last one, since its requests may arrive at any time.
                    ("reset", { @Sendable in $0.reset() }),
                ] as [(String, @Sendable (RawConnection) -> Void)] {
                    let before = (entered: endpoint.entered.value, cancelled: endpoint.cancelled.value)
                    var connections: [RawConnection] = []
                    for index in 0..<50 {
                        let connection = try await client.connect()
                        let body = index % 2 == 0 ? "\r\n" : "Content-Length: 3\r\n\r\nabc"
                        await connection.send("POST /endless HTTP/1.1\r\nHost: a\r\n\(body)")
                        leave(connection)
                        connections.append(connection)
                    }
                    // A reset may overtake its request, which then never reaches the endpoint. Only requests that reach
                    // it are compared.
                    if name == "reset" { try await Task.sleep(for: .milliseconds(500)) }
                    let isNoticed = await eventually(within: .seconds(10)) {
                        endpoint.cancelled.value - before.cancelled == endpoint.entered.value - before.entered
                            && (name == "reset" || endpoint.entered.value - before.entered == 50)
                    }
                    #expect(
                        isNoticed,
                        "\(name): \(endpoint.cancelled.value - before.cancelled) of \(endpoint.entered.value - before.entered) requests were cancelled."
                    )
                }
                try await client.expectServed()
            }
        },
        Case("a connection whose client has closed its side is not held", needs: .http1) { fixture in
            try await withServer(fixture) { client in
                let silent = try await client.connect()
                silent.closeSending()
                #expect(await silent.isClosedByPeer(), "The client has sent nothing.")
                for path in ["/status/422", "/host"] {
                    let idle = try await client.connect()
                    _ = try await idle.exchange("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
                    idle.closeSending()
                    #expect(await idle.isClosedByPeer(), "The connection is idle after \(path).")
                    // The client may or may not get its response.
                    let asking = try await client.connect()
                    await asking.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
                    asking.closeSending()
                    #expect(await asking.rest() != nil, "The client has requested \(path).")
                }
                let begun = try await client.connect()
                await begun.send("GET /status/422 HT")
                begun.closeSending()
                #expect(await begun.rest() != nil, "The request head is incomplete.")
            }
        },
    ]
}

extension RouteAdapterContract {
    static let shutdowns: [Case] = [
        Case("a graceful shutdown finishes what is under way and takes nothing new", needs: .gracefulShutdown) {
            fixture in
            let issuer = GatedIssuer()
            try await fixture.withServer(EndpointSet([WaitingEndpoint(tokens: issuer), HealthEndpoint(path: "/idle")]))
            { server in
                let client = Client(server)
                let idle = server.transport == nil ? try await client.connect() : nil
                if let idle { try await expect(idle.exchange("GET /idle HTTP/1.1\r\nHost: a\r\n\r\n").status, .ok) }
                async let answer = client.send(.post, "/waiting", body: [1])
                try await issuer.begun.wait("the request to arrive")
                async let end: Void = shutDown(server)
                try await refusal(client)
                issuer.gate.open()
                try await expect(answer.status, .ok)
                try await end
                if let idle { #expect(await idle.isClosedByPeer()) }
            }
        },
        Case("a graceful shutdown ends every connection, in whichever state it is", needs: [.http1, .gracefulShutdown])
        { fixture in
            let issuer = GatedIssuer()
            let waiting = WaitingEndpoint(tokens: issuer)
            try await withServer(fixture, [waiting]) { client in
                let request = "POST /waiting HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
                let silent = try await client.connect()
                let idle = try await client.connect()
                _ = try await idle.exchange("GET /status/422 HTTP/1.1\r\nHost: a\r\n\r\n")
                let begun = try await client.connect()
                await begun.send("GET /status/422 HTTP/1.1\r\nHo")
                let sending = try await client.connect()
                await sending.send("POST /limited HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
                let asking = try await client.connect()
                await asking.send(request)
                let pipelining = try await client.connect()
                await pipelining.send(request + "GET /host HTTP/1.1\r\nHost: a\r\n\r\n")
                var toHost: RawConnection?
                if fixture.has(.boundedBodies) {
                    toHost = try await client.connect()
                    await toHost?.send("POST /host HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
                }
                try await waiting.second.wait("two requests to arrive")
                async let end: Void = shutDown(client.server)
                try await refusal(client)
                issuer.gate.open()
                for connection in [asking, pipelining] {
                    let answer = try await connection.answer()
                    #expect(answer.status == .ok)
                    #expect(answer.headerFields[.connection]?.lowercased() == "close")
                    #expect(await connection.isClosedByPeer(), "A request was in progress.")
                }
                #expect(await silent.isClosedByPeer(), "Nothing was sent.")
                #expect(await idle.isClosedByPeer(), "The connection was idle.")
                #expect(await begun.rest() != nil, "A request head was incomplete.")
                #expect(await sending.rest() != nil, "A request body was incomplete.")
                if let toHost { #expect(await toHost.rest() != nil, "A request body for the host was incomplete.") }
                try await end
            }
        },
        Case(
            "a graceful shutdown does not wait for a client that does not read",
            needs: [.http1, .gracefulShutdown, .boundedWrites]
        ) { fixture in
            try await withServer(fixture) { client in
                let connection = try await client.connect(bufferSize: 16 << 10)
                let request = Array("GET /large HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
                await connection.offer(request, upTo: 1 << 20, until: .seconds(1))
                try await shutDown(client.server)
            }
        },
    ]
}

private func shutDown(_ server: RouteAdapterContract.Server) async throws {
    let hasEnded: Bool? = try await within(RawConnection.timeout) {
        try await server.shutDown()
        return true
    }
    if hasEnded == nil { Issue.record("The shutdown did not end within \(RawConnection.timeout).") }
}

/// Waits until the listener is closed and refuses connections. Only then has the shutdown begun.
private func refusal(_ client: Client) async throws {
    func isRefused() async -> Bool {
        do {
            _ = try await client.connect()
            return false
        } catch {
            return RawConnection.isRefusal(error)
        }
    }
    guard await eventually({ await isRefused() }) else {
        throw Gate.Unmet(what: "the listener to be closed")
    }
}
