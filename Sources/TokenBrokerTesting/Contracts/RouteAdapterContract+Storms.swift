import HTTPTypes
import Testing
import TokenBroker

// MARK: - Many requests on one connection

extension RouteAdapterContract {
    static let storms: [Case] = [
        Case("thousands of requests of ours that are sent at once are answered in order", needs: .http1) { fixture in
            try await withServer(fixture) { try await storm($0, 3000) { _ in true } }
        },
        Case("thousands of requests of the host's that are sent at once are answered in order", needs: .http1) {
            fixture in
            try await withServer(fixture) { try await storm($0, 8000) { _ in false } }
        },
        Case("thousands of requests of the host's that wait for one of ours are answered in order", needs: .http1) {
            fixture in
            try await withServer(fixture) { client in
                let connection = try await client.connect()
                // The requests before `/slow` make the server read large pieces, so that those after it wait in memory.
                let requests = (0..<10_000).map { $0 == 2000 ? request("/slow") : request($0, false) }
                async let sent = connection.send(requests.joined())
                try await expectAnswers(connection, 2000) { _ in false }
                try await expect(connection.answer().status, .accepted)
                try await expectAnswers(connection, 7999) { _ in false }
                #expect(await sent)
                try await client.expectServed()
            }
        },
        Case("thousands of requests of ours and of the host's are answered in order", needs: .http1) { fixture in
            try await withServer(fixture) { try await storm($0, 3000) { $0 % 7 == 0 || $0 % 100 > 50 } }
        },
        Case("a request that asks to close is the last of many to be answered", needs: [.http1, .lingeringClose]) {
            fixture in
            try await withServer(fixture) { client in
                for isLastOurs in [true, false] {
                    let isOurs = { @Sendable (index: Int) in index == 999 ? isLastOurs : index % 3 != 0 }
                    let requests = (0..<1100).map { index in
                        request(index, isOurs(index), index == 999 ? "Connection: close\r\n" : "")
                    }
                    let connection = try await client.connect()
                    async let sent = connection.send(requests.joined())
                    try await expectAnswers(connection, 1000, isOurs)
                    _ = await sent
                    #expect(await connection.isClosedByPeer(), "Something follows the last response.")
                }
            }
        },
        Case("a client that does not read is not read from, and holds up nobody", needs: [.http1, .boundedWrites]) {
            fixture in
            try await withServer(fixture) { client in
                for path in ["/large", "/host"] {
                    let connection = try await client.connect(bufferSize: 16 << 10)
                    // Requests for long responses are long too, so that the server reads only a few. Some it always
                    // reads.
                    let field = path == "/large" ? "X-Filling: \(String(repeating: "x", count: 1000))\r\n" : ""
                    let request = Array("GET \(path) HTTP/1.1\r\nHost: a\r\n\(field)\r\n".utf8)
                    // The kernel buffers some mebibytes, and responses fill its buffers slowly.
                    let taken: Int? = try await within(.seconds(60)) {
                        await connection.offer(request, upTo: 24 << 20, until: .seconds(2))
                    }
                    guard let taken, taken < 24 << 20 else {
                        Issue.record("\(path): the server still reads requests from a client that reads no responses.")
                        continue
                    }
                    try await client.expectServed()
                    guard path == "/large" else { continue }
                    // After the rest of the last request and one more request, all must be answered.
                    async let sent = connection.send(Array(request.dropFirst(taken % request.count)) + request)
                    for index in 0..<taken / request.count + 2 {
                        let answer = try await connection.answer()
                        guard answer.status == .ok, answer.body.count == LargeEndpoint.size else {
                            Issue.record("\(path), response \(index): \(answer.status), \(answer.body.count) bytes")
                            break
                        }
                    }
                    #expect(await sent)
                }
            }
        },
    ]
}

private let codes = [200, 201, 202, 401, 403, 404, 409, 422, 429, 500, 503]

private func request(_ index: Int, _ isOurs: Bool, _ fields: String = "") -> String {
    request(isOurs ? "/status/\(codes[index % codes.count])" : "/host", fields)
}

private func request(_ path: String, _ fields: String = "") -> String {
    "GET \(path) HTTP/1.1\r\nHost:a\r\n\(fields)\r\n"
}

/// Sends requests and reads their responses at the same time.
private func storm(_ client: Client, _ count: Int, _ isOurs: @Sendable (Int) -> Bool) async throws {
    let connection = try await client.connect()
    async let sent = connection.send((0..<count).map { request($0, isOurs($0)) }.joined())
    try await expectAnswers(connection, count, isOurs)
    #expect(await sent)
    try await client.expectServed()
}

private func expectAnswers(_ connection: RawConnection, _ count: Int, _ isOurs: (Int) -> Bool) async throws {
    for index in 0..<count {
        let code = isOurs(index) ? codes[index % codes.count] : 200
        let body = isOurs(index) ? [1, 2, 3] : Array("host".utf8)
        do {
            let answer = try await connection.answer()
            guard answer.status.code == code, answer.body == body else {
                Issue.record(
                    "Response \(index)/\(count): expected \(code), found \(answer.status), \(answer.body.count) bytes"
                )
                return
            }
        } catch {
            Issue.record("Response \(index) of \(count) did not arrive: \(error)")
            return
        }
    }
}
