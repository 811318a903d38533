import HTTPTypes
import Testing
import TokenBroker

// MARK: - HTTP/1.1 connections

extension RouteAdapterContract {
    static let connections: [Case] = [
        Case("a connection serves one request after the other, and closes when asked to", needs: .http1) { fixture in
            try await withServer(fixture) { client in
                let connection = try await client.connect()
                for path in ["/echo/1/b", "/host", "/echo/2/b", "/host"] {
                    try await expect(connection.exchange("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n").status, .ok)
                }
                let head = try await connection.exchange("HEAD /echo/1/b HTTP/1.1\r\nHost: a\r\n\r\n", isToHead: true)
                #expect(head.status == .ok)
                let last = try await connection.exchange(
                    "GET /echo/3/b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                try expect(client.object(last)["first"]?.string, "3")
                #expect(await connection.isClosedByPeer())
            }
        },
        Case("requests that are sent all at once are answered in their order, ours and the host's", needs: .http1) {
            fixture in
            try await withServer(fixture) { client in
                let connection = try await client.connect()
                var requests = ""
                for index in 0..<20 {
                    requests += "POST /echo/\(index)/b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                    requests += "GET /host HTTP/1.1\r\nHost: a\r\n\r\n"
                }
                await connection.send(requests)
                for index in 0..<20 {
                    let ours = try await client.object(connection.answer())
                    #expect(ours["first"]?.string == "\(index)")
                    #expect(ours["count"]?.number == 3)
                    try await expect(connection.answer().body, Array("host".utf8))
                }
            }
        },
        Case("what follows an answer to HEAD is the next answer", needs: .http1) { fixture in
            try await withServer(fixture) { client in
                let connection = try await client.connect()
                for path in ["/echo/a/b", "/host"] {
                    _ = try await connection.exchange("HEAD \(path) HTTP/1.1\r\nHost: a\r\n\r\n", isToHead: true)
                    let next = try await connection.exchange("GET /status/422 HTTP/1.1\r\nHost: a\r\n\r\n")
                    #expect(next.status == .unprocessableContent)
                }
            }
        },
        Case("a target in absolute form is understood, and its authority counts", needs: .http1) { fixture in
            try await withServer(fixture) { client in
                let echo = try await client.connect().exchange(
                    "GET http://b:1/echo/x/y?z HTTP/1.1\r\nHost: b:1\r\n\r\n")
                try expect(client.object(echo)["path"]?.string, "/echo/x/y?z")
                try expect(client.object(echo)["authority"]?.string, "b:1")
                // If the two differ, the target's authority counts (RFC 9112, section 3.2.2). Refusing the request is
                // even safer.
                for other in ["c", "c:1", "b", "b:2", "b:1.evil"] where fixture.has(.refusals) {
                    let answer = try await client.connect().exchange(
                        "GET http://b:1/echo/x/y HTTP/1.1\r\nHost: \(other)\r\n\r\n")
                    guard answer.status != .badRequest else { continue }
                    try expect(client.object(answer)["authority"]?.string, "b:1", "Host is \(other).")
                }
            }
        },
        Case("an old client is told whether its connection stays, and is not told to go on", needs: .http10) {
            fixture in
            try await withServer(fixture) { client in
                for host in ["", "Host: a\r\n"] {
                    let closing = try await client.connect()
                    let last = try await closing.exchange("GET /status/401 HTTP/1.0\r\n\(host)\r\n")
                    #expect(last.status == .unauthorized)
                    #expect(last.headerFields[.connection]?.lowercased() != "keep-alive")
                    #expect(await closing.isClosedByPeer(), "The client did not ask to keep the connection.")
                }
                let staying = try await client.connect()
                for code in [401, 422] {
                    let answer = try await staying.exchange(
                        "GET /status/\(code) HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                    #expect(answer.status.code == code)
                    #expect(answer.headerFields[.connection]?.lowercased() == "keep-alive")
                }
                let patient = try await client.connect()
                await patient.send(
                    "POST /echo/a/b HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
                try await Task.sleep(for: .milliseconds(300))
                await patient.send("abc")
                try await expect(patient.answer().status, .ok, "An HTTP/1.0 client does not know 100.")
            }
        },
    ]
}
